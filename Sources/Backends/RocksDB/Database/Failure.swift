import CRocksDB
import T4Protocols

/// Turns RocksDB's error convention into Swift's.
@inline(__always)
func check<R>(
    _ operation: StaticString, on directory: String, _ call: (inout UnsafeMutablePointer<CChar>?) -> R
) throws(EngineError) -> R {
    var text: UnsafeMutablePointer<CChar>?
    let result = call(&text)
    guard let text else { return result }
    defer { rocksdb_free(text) }
    throw EngineError(rocksdb: String(cString: text), during: operation, on: directory)
}

extension EngineError {
    /// Says what a caller can do about a failure, of which the C interface hands out nothing but RocksDB's text.
    init(rocksdb text: String, during operation: StaticString, on directory: String) {
        let place = "\(operation) on \(directory): \(text)"
        switch text {
        case _ where text.contains("No space left on device") || text.contains("Disk quota exceeded"):
            // RocksDB refuses writes from then on, looks for free space every few seconds and goes on by itself.
            self.init(.noSpace, "\(place); free some disk space")
        case _ where text.hasPrefix("IO error: lock hold by current process"),
            _ where text.hasPrefix("IO error: While lock file") && text.hasSuffix("Resource temporarily unavailable"):
            self.init(.inUse, "\(directory) is open in another process or engine (\(text))")
        case _ where text.hasPrefix("Corruption: ") && !EngineError.isAccessProblem(text):
            self.init(.corrupted, "\(place); the engine must be rebuilt from checkpoint and log")
        case _ where text.hasPrefix("Invalid argument: Compression type"):
            self.init(.unsupported, "\(place); choose another compression in [engine.rocksdb]")
        case _ where text.hasPrefix("Not implemented: "):
            self.init(.unsupported, place)
        case _ where text.hasPrefix("Invalid argument: "):
            self.init(.invalidArgument, place)
        default:
            self.init(.ioFailed, place)
        }
    }

    /// RocksDB calls a file corrupt that it cannot look at. Only one that is missing is: a disk that cannot be read and
    /// a lack of permission say nothing about what the file holds.
    private static func isAccessProblem(_ text: String) -> Bool {
        text.contains("Can't access ") && text.contains("IO error: ") && !text.contains("No such file or directory")
    }
}
