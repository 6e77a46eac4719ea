import Logging
import T4Protocols

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A directory of our own that shows a database as it was at one moment, also one that another process writes.
///
/// LevelDB cannot open a database without writing to it and locking it, so an inspection opens this instead. Only the
/// logs and the small files are copied. Tables never change; they are links to descriptors of this process, so that they
/// can be read after the writer has removed them, and nothing at all happens to the database.
///
/// The links have names that LevelDB reads and never writes: `.sst`, as it called tables once, where `.ldb` is missing.
/// Under the name of a table that the writer was about to finish, LevelDB would make one from the copied logs, and with
/// that empty the writer's.
///
/// Why it shows a state after some batch, with none missing before it: LevelDB finds its rows in the tables that the
/// manifest names, and in all logs from the number on that the manifest names.
/// - The manifest is copied first and must be the same at the end: same name, same length, and it is only appended to.
///   LevelDB removes a table or log only after it has appended the change that made it needless. So no file that the
///   copied manifest needs was removed in between; one that is gone when it is to be opened was not needed.
/// - Of the logs that the directory listed, only the one with the highest number could still grow: LevelDB starts a log
///   when it is through with the one before. That one is copied up to some point, and the ones started later not at all.
///   The list cannot lack one in the middle: between two starts of logs there is a change of the manifest.
/// - A batch is one record of a log. One that was cut off at the end is no record for LevelDB.
///
/// The directory is locked while it is in use. What a killed process left behind is not, and goes with the next copy.
struct PrivateCopy: ~Copyable {
    private static let attemptsMax = 200

    /// Where the copy lies.
    let directory: String
    private let lock: Int32
    private let logger: Logger
    private var tables: [Int32] = []

    private init(directory: String, lock: Int32, logger: Logger) {
        self.directory = directory
        self.lock = lock
        self.logger = logger
    }

    deinit {
        do throws(EngineError) {
            try PrivateCopy.removeDirectory(directory)
        } catch {
            logger.warning("a temporary directory of an inspection is left over: \(error)")
        }
        for table in tables { close(table) }
        close(lock)
    }

    /// Copies a database, again when the writer changed it meanwhile.
    static func make(of source: String, logger: Logger) throws(EngineError) -> PrivateCopy {
        removeLeftovers(logger)
        let (directory, lock) = try makeDirectory()
        var copy = PrivateCopy(directory: directory, lock: lock, logger: logger)
        for _ in 0..<attemptsMax {
            if try copy.fill(from: source) { return copy }
            try copy.empty()
        }
        throw EngineError(.ioFailed, "\(source) changed during each of \(attemptsMax) attempts to copy it; try again")
    }

    /// Keeps LevelDB from rewriting the copy's tables, which it cannot be told: after an error in the background it
    /// leaves them alone, and reads as before. The error is that there is a directory where its next table would go.
    ///
    /// To be called once LevelDB is open. Where it does not work the copy takes more space than it needs, no more.
    borrowing func endCompaction() {
        do throws(EngineError) {
            let last = try Files.names(in: directory).compactMap { UInt64($0.prefix { $0.isNumber }) }.max() ?? 0
            for number in (last + 1)...(last + 64) {
                let digits = String(number)
                let zeros = String(repeating: "0", count: max(0, 6 - digits.count))
                mkdir("\(directory)/\(zeros)\(digits).ldb", 0o700)
            }
        } catch {
            logger.info("LevelDB may rewrite tables of the inspection's copy: \(error)")
        }
    }

    /// - Returns: False when the database changed meanwhile.
    private mutating func fill(from source: String) throws(EngineError) -> Bool {
        let pointer = "\(source)/CURRENT"
        guard let current = try Files.content(of: pointer) else {
            throw EngineError(.ioFailed, "\(source) holds no LevelDB database: it has no file named CURRENT")
        }
        let manifest = String(decoding: current.dropLast(), as: UTF8.self)
        guard current.last == 0x0A, manifest.hasPrefix("MANIFEST-"), !manifest.contains("/") else {
            throw EngineError(.corrupted, "\(pointer) is damaged; the engine must be rebuilt from checkpoint and log")
        }
        let size = try Files.copy("\(source)/\(manifest)", to: "\(directory)/\(manifest)")
        for name in try Files.names(in: source) {
            if name.hasSuffix(".ldb") {
                guard let table = try Files.openForReading("\(source)/\(name)") else { continue }
                tables.append(table)
                let link = "\(directory)/\(name.dropLast(4)).sst"
                guard symlink("/proc/self/fd/\(table)", link) == 0 else {
                    throw EngineError(system: errno, "link", file: link)
                }
            } else if name.hasSuffix(".log") {
                _ = try Files.copy("\(source)/\(name)", to: "\(directory)/\(name)")
            }
        }
        try Files.make("\(directory)/CURRENT", current)
        guard try Files.content(of: pointer) == current else { return false }
        guard let size, let sizeNow = try Files.size(of: "\(source)/\(manifest)") else {
            throw EngineError(
                .corrupted,
                "\(pointer) names \(manifest), which is missing; the engine must be rebuilt from "
                    + "checkpoint and log")
        }
        return size == sizeNow
    }

    private mutating func empty() throws(EngineError) {
        try PrivateCopy.clear(directory)
        for table in tables { close(table) }
        tables = []
    }

    private static func clear(_ directory: String) throws(EngineError) {
        for name in try Files.names(in: directory) {
            let path = "\(directory)/\(name)"
            guard remove(path) == 0 else { throw EngineError(system: errno, "remove", file: path) }
        }
    }

    // MARK: The directory

    private static let namePrefix = "t4-leveldb-"

    private static var parent: String {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? ""
        return parent.isEmpty ? "/tmp" : parent
    }

    private static func makeDirectory() throws(EngineError) -> (path: String, lock: Int32) {
        let pattern = "\(parent)/\(namePrefix)XXXXXX"
        for _ in 0..<attemptsMax {
            var path = Array(pattern.utf8CString)
            guard mkdtemp(&path) != nil else { throw EngineError(system: errno, "mkdtemp", file: pattern) }
            let directory = String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            // Another process may take it for a leftover until it is locked.
            if let lock = lockDirectory(directory, LOCK_SH) { return (directory, lock) }
            rmdir(directory)
        }
        throw EngineError(.ioFailed, "no directory \(pattern) could be locked; set TMPDIR to one on a local disk")
    }

    /// A lock of a directory of this user; nil when there is none, or it is gone by the time it is locked.
    private static func lockDirectory(_ directory: String, _ operation: Int32) -> Int32? {
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        while flock(descriptor, operation) != 0 {
            guard errno == EINTR else {
                close(descriptor)
                return nil
            }
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_nlink > 0, status.st_uid == geteuid() else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    private static func removeDirectory(_ directory: String) throws(EngineError) {
        try clear(directory)
        guard rmdir(directory) == 0 else { throw EngineError(system: errno, "rmdir", file: directory) }
    }

    /// Removes the directories of processes that were killed.
    private static func removeLeftovers(_ logger: Logger) {
        do throws(EngineError) {
            for name in try Files.names(in: parent) where name.hasPrefix(namePrefix) {
                let directory = "\(parent)/\(name)"
                guard let lock = lockDirectory(directory, LOCK_EX | LOCK_NB) else { continue }
                defer { close(lock) }
                try removeDirectory(directory)
            }
        } catch {
            logger.info("a temporary directory of an earlier inspection stays: \(error)")
        }
    }
}
