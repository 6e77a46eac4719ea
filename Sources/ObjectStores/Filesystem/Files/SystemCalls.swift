import Glibc
import Synchronization
import T4Protocols

/// A system call that failed.
struct SystemFailure: Error {
    var call: StaticString
    var path: String
    var number: Int32
}

/// Calls again while a signal interrupts.
/// - Returns: What the call returned, never negative.
@discardableResult
@inline(__always)
func check<Count: BinaryInteger>(
    _ call: StaticString, _ path: @autoclosure () -> String, _ body: () -> Count
) throws(SystemFailure) -> Count {
    while true {
        let result = body()
        if result >= 0 { return result }
        let number = errno
        if number != EINTR { throw SystemFailure(call: call, path: path(), number: number) }
    }
}

extension ObjectStoreError {
    /// Says what a caller can do about a call that failed before it changed anything.
    init(_ failure: SystemFailure, on key: ObjectKey? = nil) {
        let code: Code
        let advice: String
        switch failure.number {
        case ENOSPC, EDQUOT, EFBIG: (code, advice) = (.noSpace, "; free some space on the store's disk")
        case EACCES, EPERM, EROFS:
            (code, advice) = (.permissionDenied, "; the store's folder must be writable for this user")
        case EOPNOTSUPP, ENOSYS, EINVAL:
            (code, advice) = (.unsupported, "; the store needs a file system that can do this")
        default: (code, advice) = (.unavailable, "")
        }
        self.init(code, ObjectStoreError.text(failure, key) + advice)
    }

    /// For a call that failed when the change was visible already, or may be: nobody knows what survives.
    static func afterChange(_ failure: SystemFailure, on key: ObjectKey) -> ObjectStoreError {
        ObjectStoreError(
            .outcomeUnknown, text(failure, key) + "; the change may be visible, and may not be on the disk")
    }

    private static func text(_ failure: SystemFailure, _ key: ObjectKey?) -> String {
        let place = "\(failure.call) \(failure.path): \(String(cString: strerror(failure.number)))"
        return key.map { "\($0): \(place)" } ?? place
    }
}

/// An open file or folder, closed when nobody holds it any more.
final class OpenFile: Sendable {
    let descriptor: Int32
    /// For messages.
    let path: String

    /// Opens `name` below an open folder.
    init(
        _ name: String, in folder: OpenFile, _ flags: Int32, mode: mode_t = 0o600
    ) throws(SystemFailure) {
        path = "\(folder.path)/\(name)"
        descriptor = try check("open", path) { openat(folder.descriptor, name, flags | O_CLOEXEC, mode) }
    }

    /// Opens a path of the process.
    init(path: String, _ flags: Int32) throws(SystemFailure) {
        descriptor = try check("open", path) { Glibc.open(path, flags | O_CLOEXEC, 0o600) }
        self.path = path
    }

    deinit { close(descriptor) }

    /// Waits until content and names are on the disk.
    func sync() throws(SystemFailure) {
        try check("fsync", path) { fsync(descriptor) }
    }

    func status() throws(SystemFailure) -> stat {
        var status = stat()
        try check("fstat", path) { fstat(descriptor, &status) }
        return status
    }

    /// Writes all bytes at an offset.
    func write(_ bytes: RawSpan, at offset: Int64) throws(SystemFailure) {
        try bytes.withUnsafeBytes { bytes throws(SystemFailure) in
            var done = 0
            while done < bytes.count {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
                done += try check("write", path) {
                    pwrite(descriptor, rest.baseAddress, rest.count, off_t(offset) + done)
                }
            }
        }
    }

    /// Bytes that are handed to the disk at once.
    private static let pieceSize = 256 << 10

    /// Writes all bytes at an offset, and waits for the disk after each piece: while it has megabytes in hand, whatever
    /// else is synced to the same disk waits as long, such as the log of the node that writes this.
    /// - Parameter turn: Held for each piece, so that there is one at a time. What is left of the last piece is synced by
    ///   whoever makes the file durable.
    func write(_ bytes: RawSpan, at offset: Int64, oneByOne turn: borrowing Mutex<Void>) throws(SystemFailure) {
        var done = 0
        while bytes.byteCount - done > OpenFile.pieceSize {
            let piece = bytes.extracting(done..<done + OpenFile.pieceSize)
            try turn.withLock { _ throws(SystemFailure) in
                try write(piece, at: offset + Int64(done))
                try check("fdatasync", path) { fdatasync(descriptor) }
            }
            done += OpenFile.pieceSize
        }
        try write(bytes.extracting(done...), at: offset + Int64(done))
    }

    /// Reads at an offset until the buffer is full or the file ends.
    /// - Returns: Bytes read.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(SystemFailure) -> Int {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let count = try check("read", path) {
                pread(descriptor, rest.baseAddress, rest.count, off_t(offset) + done)
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// Reads at most `count` bytes at an offset; fewer where the file ends.
    func read(_ count: Int, at offset: Int64) throws(SystemFailure) -> [UInt8] {
        var failure: SystemFailure?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            do throws(SystemFailure) {
                initialized = try read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// The names in this folder, in no order, without `.` and `..`.
    func names() throws(SystemFailure) -> [String] {
        // A position of its own: `descriptor` is shared by all threads.
        let own = try OpenFile(".", in: self, O_RDONLY | O_DIRECTORY)
        let copy = try check("dup", path) { fcntl(own.descriptor, F_DUPFD_CLOEXEC, 0) }
        guard let stream = fdopendir(copy) else {
            let number = errno
            close(copy)
            throw SystemFailure(call: "opendir", path: path, number: number)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                let number = errno
                if number == 0 { return names }
                throw SystemFailure(call: "readdir", path: path, number: number)
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: pointer.pointee)) {
                    String(cString: $0)
                }
            }
            if name != "." && name != ".." { names.append(name) }
        }
    }
}
