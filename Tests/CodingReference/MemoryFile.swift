package import T4Core

/// A file that is only bytes, for readers of files.
package final class MemoryFile: LogFile {
    private let bytes: [UInt8]

    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    package func size() throws(LogError) -> UInt64 { UInt64(bytes.count) }

    package func read(_ count: Int, at offset: UInt64) throws(LogError) -> [UInt8] {
        Array(bytes.dropFirst(Int(min(offset, UInt64(bytes.count)))).prefix(count))
    }

    package func write(_ bytes: RawSpan, at offset: UInt64) throws(LogError) { preconditionFailure("only read") }
    package func syncData() throws(LogError) { preconditionFailure("only read") }
    package func truncate(to size: UInt64) throws(LogError) { preconditionFailure("only read") }
}
