import Glibc

/// The file system of the machine.
package struct POSIXFileSystem: LogFileSystem {
    /// There is only one.
    package init() {}

    package func createDirectory(_ path: String) throws(LogError) {
        if mkdir(path, 0o700) != 0 {
            let code = errno
            if code == EEXIST { return }
            throw systemError("mkdir", path, code: code)
        }
        let parts = path.split(separator: "/", omittingEmptySubsequences: true)
        let parent = parts.dropLast().joined(separator: "/")
        try syncDirectory(path.hasPrefix("/") ? "/" + parent : (parent.isEmpty ? "." : parent))
    }

    package func list(_ directory: String) throws(LogError) -> [String] {
        guard let stream = opendir(directory) else { throw systemError("opendir", directory, code: errno) }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw systemError("readdir", directory, code: errno) }
                return names
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
    }

    package func open(_ path: String) throws(LogError) -> any LogFile {
        try POSIXFile(path, flags: O_RDONLY)
    }

    package func openForWriting(_ path: String) throws(LogError) -> any LogFile {
        try POSIXFile(path, flags: O_RDWR)
    }

    package func create(_ path: String) throws(LogError) -> any LogFile {
        try POSIXFile(path, flags: O_RDWR | O_CREAT | O_EXCL)
    }

    package func rename(_ path: String, to newPath: String) throws(LogError) {
        if Glibc.rename(path, newPath) != 0 { throw systemError("rename to \(newPath)", path, code: errno) }
    }

    package func remove(_ path: String) throws(LogError) {
        if unlink(path) != 0 { throw systemError("unlink", path, code: errno) }
    }

    package func syncDirectory(_ path: String) throws(LogError) {
        let descriptor = try openDescriptor(path, flags: O_RDONLY | O_DIRECTORY)
        defer { close(descriptor) }
        if fsync(descriptor) != 0 { throw systemError("fsync", path, code: errno) }
    }

    package func freeBytes(_ directory: String) throws(LogError) -> UInt64 {
        var information = statvfs()
        if repeating({ Int(statvfs(directory, &information)) }) != 0 {
            throw systemError("statvfs", directory, code: errno)
        }
        return UInt64(information.f_bavail) * UInt64(information.f_frsize)
    }
}

/// A file descriptor and the name it was opened under, for messages.
private final class POSIXFile: LogFile {
    private let descriptor: CInt
    private let path: String

    init(_ path: String, flags: CInt) throws(LogError) {
        descriptor = try openDescriptor(path, flags: flags)
        self.path = path
    }

    // Everything that must last has been synced before; a failing close loses nothing.
    deinit { close(descriptor) }

    func size() throws(LogError) -> UInt64 {
        var information = stat()
        if fstat(descriptor, &information) != 0 { throw systemError("fstat", path, code: errno) }
        return UInt64(information.st_size)
    }

    func read(_ count: Int, at offset: UInt64) throws(LogError) -> [UInt8] {
        var failure: CInt = 0
        var failedAt = offset
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, done in
            while done < count {
                let result = repeating {
                    pread(descriptor, buffer.baseAddress! + done, count - done, off_t(offset) + off_t(done))
                }
                if result < 0 { (failure, failedAt) = (errno, offset + UInt64(done)) }
                if result <= 0 { return }
                done += result
            }
        }
        if failure != 0 { throw systemError("pread", path, offset: failedAt, code: failure) }
        return bytes
    }

    func write(_ bytes: RawSpan, at offset: UInt64) throws(LogError) {
        var failure: CInt = 0
        var done = 0
        bytes.withUnsafeBytes { buffer in
            while done < buffer.count {
                let result = repeating {
                    pwrite(descriptor, buffer.baseAddress! + done, buffer.count - done, off_t(offset) + off_t(done))
                }
                if result <= 0 {
                    failure = result < 0 ? errno : EIO
                    return
                }
                done += result
            }
        }
        if failure != 0 { throw systemError("pwrite", path, offset: offset + UInt64(done), code: failure) }
    }

    func syncData() throws(LogError) {
        // Not repeated on EINTR either: a second call could succeed without the bytes the first one lost.
        if fdatasync(descriptor) != 0 { throw systemError("fdatasync", path, code: errno) }
    }

    func truncate(to size: UInt64) throws(LogError) {
        if repeating({ Int(ftruncate(descriptor, off_t(size))) }) != 0 {
            throw systemError("ftruncate", path, offset: size, code: errno)
        }
    }
}

private func openDescriptor(_ path: String, flags: CInt) throws(LogError) -> CInt {
    let descriptor = repeating { Int(open(path, flags | O_CLOEXEC, 0o600)) }
    if descriptor < 0 { throw systemError("open", path, code: errno) }
    return CInt(descriptor)
}

/// Calls again while a signal interrupts.
private func repeating(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        if result != -1 || errno != EINTR { return result }
    }
}

private func systemError(_ call: String, _ path: String, offset: UInt64? = nil, code: CInt) -> LogError {
    let kind: LogError.Code =
        switch code {
        case ENOSPC, EDQUOT: .noSpace
        case ENOENT: .notFound
        default: .ioFailed
        }
    return LogError(kind, "\(call): \(String(cString: strerror(code)))", path: path, offset: offset)
}
