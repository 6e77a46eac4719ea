/// The file operations of the log. Tests put a double here that drops unsynced bytes, tears writes and fails calls.
///
/// Paths are absolute or relative to the working directory. All calls block. Safe to use from several threads.
package protocol LogFileSystem: Sendable {
    /// Makes a directory and syncs its parent; does nothing where the directory exists.
    func createDirectory(_ path: String) throws(LogError)
    /// The names in a directory, in any order, without `.` and `..`.
    func list(_ directory: String) throws(LogError) -> [String]
    /// Opens a file that exists, for reading only. `.notFound` where there is none.
    func open(_ path: String) throws(LogError) -> any LogFile
    /// Opens a file that exists, for reading and writing. `.notFound` where there is none.
    func openForWriting(_ path: String) throws(LogError) -> any LogFile
    /// Makes a new, empty file open for reading and writing; an existing one of that name is an error.
    func create(_ path: String) throws(LogError) -> any LogFile
    /// Gives a file another name in the same directory, replacing a file of that name at once. Durable after
    /// `syncDirectory`.
    func rename(_ path: String, to newPath: String) throws(LogError)
    /// Removes a file. Durable after `syncDirectory`.
    func remove(_ path: String) throws(LogError)
    /// Returns when all names made, changed and removed in a directory are on disk.
    func syncDirectory(_ path: String) throws(LogError)
    /// Bytes that can still be written to the file system a directory lies on.
    func freeBytes(_ directory: String) throws(LogError) -> UInt64
}

/// An open file of the log; closed with its last reference.
///
/// One thread at a time uses a file.
package protocol LogFile: AnyObject, Sendable {
    /// Size in bytes now.
    func size() throws(LogError) -> UInt64
    /// Up to `count` bytes from `offset`; fewer only where the file ends.
    func read(_ count: Int, at offset: UInt64) throws(LogError) -> [UInt8]
    /// Writes all bytes at `offset`, extending the file where needed. After an error any part may have been written.
    func write(_ bytes: RawSpan, at offset: UInt64) throws(LogError)
    /// Returns when everything written, and the size, is on disk. After an error nothing may be assumed of any byte.
    func syncData() throws(LogError)
    /// Cuts the file; on disk after the next `syncData`.
    func truncate(to size: UInt64) throws(LogError)
}

extension LogFile {
    /// Writes zeros over a range, so that its blocks are allocated and initialized on disk after the next sync.
    func zeroFill(_ range: Range<UInt64>) throws(LogError) {
        let zeros = [UInt8](repeating: 0, count: Int(min(1 << 20, UInt64(range.count))))
        var offset = range.lowerBound
        while offset < range.upperBound {
            let count = Int(min(UInt64(zeros.count), range.upperBound - offset))
            try write(zeros.span.bytes.extracting(0..<count), at: offset)
            offset += UInt64(count)
        }
    }
}
