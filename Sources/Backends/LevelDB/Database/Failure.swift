import CLevelDB
import T4Protocols

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// What LevelDB says about a call that failed: a text that starts with the kind of failure.
struct LevelDBFailure: Error {
    var message: String
    var operation: StaticString
}

/// Turns LevelDB's error convention, a text to be freed, into Swift's.
@inline(__always)
func check<R>(
    _ operation: StaticString, _ call: (inout UnsafeMutablePointer<CChar>?) -> R
) throws(LevelDBFailure) -> R {
    var text: UnsafeMutablePointer<CChar>?
    let result = call(&text)
    guard let text else { return result }
    defer { leveldb_free(text) }
    throw LevelDBFailure(message: String(cString: text), operation: operation)
}

extension EngineError {
    /// Says what a caller can do about a failure.
    ///
    /// `.noSpace` tells of the disk alone: whether the engine is usable afterwards depends on what was being done.
    init(_ failure: LevelDBFailure, directory: String) {
        let place = "\(failure.operation) in \(directory): \(failure.message)"
        let isSystem = failure.message.hasPrefix("IO error: ")
        func isCaused(by number: Int32) -> Bool {
            isSystem && failure.message.hasSuffix(String(cString: strerror(number)))
        }
        if isSystem, failure.message.hasPrefix("IO error: lock ") {
            self.init(.inUse, "\(place); another program has the database open")
        } else if [ENOSPC, EDQUOT, EFBIG].contains(where: isCaused) {
            self.init(.noSpace, "\(place); free some disk space")
        } else if isSystem, !isCaused(by: EINVAL) {
            self.init(.ioFailed, place)
        } else {
            // Damage, a file that is missing (NotFound), one that is too short (EINVAL), or rows in an order that is not
            // ours (Invalid argument).
            self.init(.corrupted, "\(place); the engine must be rebuilt from checkpoint and log")
        }
    }
}
