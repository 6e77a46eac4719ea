import Glibc
import Synchronization

/// A file without a name: its space is free again once it is let go, after a crash too.
///
/// Grows at its end, through a buffer, and is read anywhere. Used by one thread at a time.
struct TemporaryFile: ~Copyable {
    /// What went wrong with a temporary file.
    struct Failure: Error, Hashable, CustomStringConvertible {
        var call: String
        var path: String
        var number: Int32

        /// True when the disk has no room for the file.
        var isNoSpace: Bool { [ENOSPC, EDQUOT, EFBIG].contains(number) }
        var description: String { "\(call) of a temporary file in \(path): \(String(cString: strerror(number)))" }
    }

    /// Bytes of the disk that are left to others: a file that would take them is refused.
    static let freeSizeMin = 256 << 20
    private static let bufferBytes = 256 * 1024
    /// Bytes after which the free space is looked at again.
    private static let checkBytes = 16 << 20
    /// Held from the making of a name until it is removed.
    private static let naming = Mutex(())

    private let directory: String
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var bytesWritten = 0
    private var bytesChecked = 0

    /// Bytes appended so far.
    var byteCount: Int { bytesWritten + buffer.count }

    /// Makes an empty file in a directory that no other process makes temporary files in.
    init(in directory: String) throws(Failure) {
        self.directory = directory
        descriptor = try TemporaryFile.naming.withLock { _ throws(Failure) in
            let path = directory + "/snapshot.tmp"
            // A crash just here could have left an empty file.
            guard unlink(path) == 0 || errno == ENOENT else { throw Failure("unlink", directory) }
            let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else { throw Failure("open", directory) }
            guard unlink(path) == 0 else {
                let failure = Failure("unlink", directory)
                close(descriptor)
                throw failure
            }
            return descriptor
        }
        buffer.reserveCapacity(TemporaryFile.bufferBytes)
    }

    // What is lost by a failing close is of no use to anybody.
    deinit { close(descriptor) }

    /// Adds bytes at the end.
    /// - Throws: A `Failure`; with `isNoSpace` also when less than `freeSizeMin` would be left on the disk.
    mutating func append(_ bytes: RawSpan) throws(Failure) {
        if buffer.count + bytes.byteCount > TemporaryFile.bufferBytes { try flush() }
        if bytes.byteCount > TemporaryFile.bufferBytes {
            try write(bytes)
        } else {
            bytes.withUnsafeBytes { buffer.append(contentsOf: $0) }
        }
    }

    /// Hands everything appended to the operating system, so that it can be read.
    mutating func flush() throws(Failure) {
        guard !buffer.isEmpty else { return }
        let bytes = buffer
        buffer.removeAll(keepingCapacity: true)
        try write(bytes.span.bytes)
    }

    /// Replaces bytes that have been flushed.
    func overwrite(_ bytes: RawSpan, at offset: Int) throws(Failure) {
        precondition(offset + bytes.byteCount <= bytesWritten, "bytes behind the end are not overwritten")
        try put(bytes, at: offset)
    }

    /// Up to `count` bytes that have been flushed, from `offset` on; fewer only at the end of the file.
    func read(_ count: Int, at offset: Int) throws(Failure) -> [UInt8] {
        var failure: Failure?
        let bytes = [UInt8](unsafeUninitializedCapacity: min(count, max(0, bytesWritten - offset))) { target, done in
            while done < target.count {
                let result = pread(descriptor, target.baseAddress! + done, target.count - done, offset + done)
                if result < 0, errno == EINTR { continue }
                guard result > 0 else {
                    failure = Failure("pread", directory, result < 0 ? errno : EIO)
                    return
                }
                done += result
            }
        }
        if let failure { throw failure }
        return bytes
    }

    private mutating func write(_ bytes: RawSpan) throws(Failure) {
        if bytesWritten == 0 || bytesWritten + bytes.byteCount > bytesChecked {
            bytesChecked = bytesWritten + bytes.byteCount + TemporaryFile.checkBytes
            try checkSpace(for: bytes.byteCount + TemporaryFile.checkBytes)
        }
        try put(bytes, at: bytesWritten)
        bytesWritten += bytes.byteCount
    }

    /// The log must not run out of space because somebody makes a backup.
    private func checkSpace(for count: Int) throws(Failure) {
        var information = statvfs()
        while fstatvfs(descriptor, &information) != 0 {
            guard errno == EINTR else { throw Failure("fstatvfs", directory) }
        }
        let (free, overflow) = Int(information.f_bavail).multipliedReportingOverflow(by: Int(information.f_frsize))
        guard overflow || free - count >= TemporaryFile.freeSizeMin else { throw Failure("write", directory, ENOSPC) }
    }

    private func put(_ bytes: RawSpan, at offset: Int) throws(Failure) {
        var done = 0
        var failure: Failure?
        bytes.withUnsafeBytes { source in
            while done < source.count {
                let result = pwrite(descriptor, source.baseAddress! + done, source.count - done, offset + done)
                if result < 0, errno == EINTR { continue }
                guard result > 0 else {
                    failure = Failure("write", directory, result < 0 ? errno : EIO)
                    return
                }
                done += result
            }
        }
        if let failure { throw failure }
    }
}

extension TemporaryFile.Failure {
    fileprivate init(_ call: String, _ path: String, _ number: Int32 = errno) {
        self.init(call: call, path: path, number: number)
    }
}
