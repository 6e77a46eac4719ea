import T4Protocols

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The file `rows.log`: a mark, then records. What follows the last whole record was cut off by a crash and is dropped.
struct LogFile: Sendable {
    private static let mark = Array("t4 example log 1".utf8)

    private let directory: String
    private var descriptor: Int32
    /// Holds the directory's lock; -1 when read-only.
    private let lock: Int32
    /// Bytes up to the end of the last record.
    private(set) var sizeBytes = 0

    private var path: String { "\(directory)/rows.log" }

    /// Opens the file and hands out its records; `visit` says whether a record makes sense.
    init(directory: String, isReadOnly: Bool, visit: (LogRecord) -> Bool) throws(EngineError) {
        self.directory = directory
        lock = isReadOnly ? -1 : try Self.takeLock(directory)
        descriptor = open(
            "\(directory)/rows.log", isReadOnly ? O_RDONLY | O_CLOEXEC : O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        do throws(EngineError) {
            guard descriptor >= 0 else { throw failure("open") }
            try readRecords(visit)
            if !isReadOnly { try prepareToWrite() }
        } catch {
            close()
            throw error
        }
    }

    /// Lets go of the file and of the lock.
    func close() {
        if descriptor >= 0 { _ = Self.closeFile(descriptor) }
        if lock >= 0 {
            // A process that was started meanwhile may still have the lock's descriptor: closing would not let go.
            flock(lock, LOCK_UN)
            _ = Self.closeFile(lock)
        }
    }

    /// Adds a record.
    /// - Throws: `.noSpace`, and the file is as before; `.ioFailed`.
    mutating func append(_ record: LogRecord) throws(EngineError) {
        var record = record
        record.seal()
        do throws(EngineError) {
            try write(record.bytes, to: descriptor, at: sizeBytes)
        } catch {
            // Without this the next, shorter record would be followed by the rest of this one.
            guard ftruncate(descriptor, sizeBytes) == 0 else { throw failure("ftruncate") }
            throw error
        }
        sizeBytes += record.bytes.count
    }

    /// Makes the file consist of one record, in one step.
    mutating func replace(with record: LogRecord) throws(EngineError) {
        var record = record
        record.seal()
        let new = "\(directory)/rows.new"
        let file = open(new, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw failure("open \(new)") }
        do throws(EngineError) {
            try write(Self.mark + record.bytes, to: file, at: 0)
            guard fsync(file) == 0 else { throw failure("fsync \(new)") }
            guard rename(new, path) == 0 else { throw failure("rename \(new)") }
        } catch {
            _ = Self.closeFile(file)
            unlink(new)
            throw error
        }
        _ = Self.closeFile(descriptor)
        descriptor = file
        sizeBytes = Self.mark.count + record.bytes.count
        try syncDirectory()
    }

    /// Waits until everything is on the disk.
    func sync() throws(EngineError) {
        guard fsync(descriptor) == 0 else { throw failure("fsync") }
    }

    private mutating func readRecords(_ visit: (LogRecord) -> Bool) throws(EngineError) {
        let content = try readAll()
        guard content.starts(with: Self.mark) else {
            // Power loss while the file was made can leave less than the mark, or zeros in its place.
            if content.count <= Self.mark.count { return }
            throw EngineError(.corrupted, "\(path) is not a log file of this engine")
        }
        sizeBytes = Self.mark.count
        while let record = LogRecord(startOf: content[sizeBytes...]) {
            guard visit(record) else { throw EngineError(.corrupted, "\(path) has a bad record at byte \(sizeBytes)") }
            sizeBytes += record.bytes.count
        }
    }

    private mutating func prepareToWrite() throws(EngineError) {
        unlink("\(directory)/rows.new")
        if sizeBytes == 0 {
            try write(Self.mark, to: descriptor, at: 0)
            sizeBytes = Self.mark.count
        }
        guard ftruncate(descriptor, sizeBytes) == 0 else { throw failure("ftruncate") }
        try sync()
        try syncDirectory()
    }

    private func readAll() throws(EngineError) -> [UInt8] {
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = pread(descriptor, &buffer, buffer.count, content.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure("read") }
            if count == 0 { return content }
            content += buffer.prefix(count)
        }
    }

    private func write(_ bytes: [UInt8], to file: Int32, at offset: Int) throws(EngineError) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                pwrite(file, $0.baseAddress! + written, bytes.count - written, offset + written)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure("write") }
            written += count
        }
    }

    /// Makes names of files durable.
    private func syncDirectory() throws(EngineError) {
        let folder = open(directory, O_RDONLY | O_CLOEXEC)
        guard folder >= 0 else { throw failure("open \(directory)") }
        defer { _ = Self.closeFile(folder) }
        guard fsync(folder) == 0 else { throw failure("fsync \(directory)") }
    }

    private static func takeLock(_ directory: String) throws(EngineError) -> Int32 {
        let path = "\(directory)/lock"
        let lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw EngineError(.ioFailed, "open \(path): \(String(cString: strerror(errno)))") }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            _ = closeFile(lock)
            throw EngineError(
                code == EWOULDBLOCK ? .inUse : .ioFailed, "lock \(path): \(String(cString: strerror(code)))")
        }
        return lock
    }

    /// Says what a failed system call means to the caller of the engine.
    private func failure(_ call: String) -> EngineError {
        let code = errno
        let isFull = [ENOSPC, EDQUOT, EFBIG].contains(code)
        return EngineError(isFull ? .noSpace : .ioFailed, "\(call) on \(path): \(String(cString: strerror(code)))")
    }

    /// `close` of the system, which the method of that name hides.
    private static func closeFile(_ descriptor: Int32) -> Int32 {
        #if canImport(Glibc)
            Glibc.close(descriptor)
        #else
            Musl.close(descriptor)
        #endif
    }
}
