import Synchronization
import T4Core

/// A file without a name: its space is free again once it is let go, after a crash too.
///
/// Grows at its end, through a buffer, and is read anywhere. Used by one thread at a time.
struct TemporaryFile: ~Copyable {
    /// Bytes of the disk that are left to others: the log must not run out of space because somebody makes a backup.
    static let freeSizeMin = 256 << 20
    private static let bufferBytes = 256 * 1024
    /// Bytes after which the free space is looked at again.
    private static let checkBytes = 16 << 20
    /// Held from the making of a name until it is removed.
    private static let naming = Mutex(())

    private let directory: String
    private let fileSystem: any LogFileSystem
    private let file: any LogFile
    private var buffer: [UInt8] = []
    private var bytesWritten = 0
    /// For this size there was space.
    private var bytesChecked = 0

    /// Bytes appended so far.
    var byteCount: Int { bytesWritten + buffer.count }

    /// Makes an empty file in a directory that no other process makes temporary files in.
    init(in directory: String, fileSystem: any LogFileSystem = POSIXFileSystem()) throws(LogError) {
        self.directory = directory
        self.fileSystem = fileSystem
        file = try TemporaryFile.naming.withLock { _ throws(LogError) in
            let path = directory + "/snapshot.tmp"
            do throws(LogError) {
                // A crash just here could have left an empty one.
                try fileSystem.remove(path)
            } catch {
                guard error.code == .notFound else { throw error }
            }
            let file = try fileSystem.create(path)
            try fileSystem.remove(path)
            return file
        }
        buffer.reserveCapacity(TemporaryFile.bufferBytes)
    }

    /// Adds bytes at the end.
    /// - Throws: `.noSpace`, also when less than `freeSizeMin` would be left on the disk; `.ioFailed`. The file is
    ///   of no use then.
    mutating func append(_ bytes: RawSpan) throws(LogError) {
        if buffer.count + bytes.byteCount > TemporaryFile.bufferBytes { try flush() }
        if bytes.byteCount > TemporaryFile.bufferBytes {
            try write(bytes)
        } else {
            bytes.withUnsafeBytes { buffer.append(contentsOf: $0) }
        }
    }

    /// Hands everything appended to the operating system, so that it can be read.
    mutating func flush() throws(LogError) {
        guard !buffer.isEmpty else { return }
        let bytes = buffer
        buffer.removeAll(keepingCapacity: true)
        try write(bytes.span.bytes)
    }

    /// Ends writing.
    /// - Returns: The file, for reading; it lives as long as that.
    consuming func finish() throws(LogError) -> any LogFile {
        try flush()
        return file
    }

    /// Replaces bytes that have been flushed.
    func overwrite(_ bytes: RawSpan, at offset: Int) throws(LogError) {
        precondition(offset + bytes.byteCount <= bytesWritten, "bytes behind the end are not overwritten")
        try file.write(bytes, at: UInt64(offset))
    }

    /// Up to `count` bytes that have been flushed, from `offset` on; fewer only at the end of the file.
    func read(_ count: Int, at offset: Int) throws(LogError) -> [UInt8] {
        try file.read(min(count, bytesWritten - offset), at: UInt64(offset))
    }

    private mutating func write(_ bytes: RawSpan) throws(LogError) {
        let end = bytesWritten + bytes.byteCount
        if end > bytesChecked {
            bytesChecked = end + TemporaryFile.checkBytes
            let needed = bytesChecked - bytesWritten + TemporaryFile.freeSizeMin
            guard try fileSystem.freeBytes(directory) >= UInt64(needed) else {
                throw LogError(
                    .noSpace, "a temporary file would leave less than \(TemporaryFile.freeSizeMin) bytes free",
                    path: directory)
            }
        }
        try file.write(bytes, at: UInt64(bytesWritten))
        bytesWritten = end
    }
}
