import FoundationEssentials
import Glibc
import Logging
import T4Protocols

/// The place of a data directory that is made under another name and gets its own once it is complete and on disk.
struct RestoredDirectory {
    /// What has been done.
    enum Step: CaseIterable {
        /// The directory is there under its other name, and locked.
        case made
        /// The engine is open.
        case opened
        /// It holds the state.
        case filled
        /// It is closed, and `engine/state` says so.
        case closed
        /// The directory says whose it is.
        case identified
        /// Everything in it is on disk.
        case synced
        /// It has its name.
        case named
    }

    /// The engine that is to be filled.
    struct Engine {
        var type: String
        var open: @Sendable (EngineContext) throws -> any LocalEngine
    }

    private let path: String
    private let parent: String
    /// What the names of unfinished directories in `parent` start with.
    private let temporaryName: String
    private let logger: Logger
    private let onStep: (Step) throws -> Void

    /// Looks whether a directory can be made there.
    /// - Throws: `RestoreError` with the code `.destination` when it exists and is not an empty directory, or cannot be
    ///   replaced.
    init(_ path: String, logger: Logger, onStep: @escaping (Step) throws -> Void = { _ in }) throws {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        let slash = path.lastIndex(of: "/")
        let name = slash.map { path[path.index(after: $0)...] } ?? path[...]
        guard !["", ".", ".."].contains(name) else {
            throw RestoreError(.destination, "\"\(path)\" is no name that a new directory can get")
        }
        self.path = path
        parent = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        temporaryName = "\(name).restoring-"
        self.logger = logger
        self.onStep = onStep
        try check()
    }

    private func check() throws {
        var info = stat()
        guard lstat(path, &info) == 0 else {
            if errno == ENOENT { return }
            throw DurableFile.Failure(call: "stat", path: path, number: errno)
        }
        guard info.st_mode & S_IFMT == S_IFDIR else {
            throw RestoreError(.destination, "\(path) exists and is not a directory")
        }
        guard try FileManager.default.contentsOfDirectory(atPath: path).isEmpty else {
            throw RestoreError(
                .destination, "\(path) is not empty: name another directory, or move this one away first")
        }
        var above = stat()
        guard stat(parent, &above) == 0 else {
            throw DurableFile.Failure(call: "stat", path: parent, number: errno)
        }
        guard above.st_dev == info.st_dev else {
            throw RestoreError(
                .destination,
                "\(path) is where another file system is mounted, so that no directory can be put in its place: name "
                    + "a directory inside it")
        }
    }

    /// Makes the directory.
    /// - Parameter fill: Is given the empty engine, and the directory under its other name, for temporary and further
    ///   files; says who the directory belongs to.
    /// - Throws: What any step throws; nothing is left then.
    func make<Result>(
        _ engine: Engine, fill: (any LocalEngine, String) throws -> (Result, DataDirectory.Identity)
    ) throws -> Result {
        try DurableFile.makeDirectory(parent)
        try removeLeftovers()
        var random = SystemRandomNumberGenerator()
        var number: [UInt8] = []
        number.append(bigEndian: random.next())
        let temporary = "\(parent)/\(temporaryName)\(number.hex)"
        let directory = try DataDirectory(temporary)
        defer { directory.unlock() }
        do {
            try onStep(.made)
            let (result, identity) = try self.fill(directory, engine, fill)
            // The log of the node that will run here begins behind the state.
            try DurableFile.makeDirectory(directory.wal)
            try directory.setIdentity(identity)
            try onStep(.identified)
            try RestoredDirectory.syncTree(temporary)
            try onStep(.synced)
            try check()
            guard rename(temporary, path) == 0 else {
                throw DurableFile.Failure(call: "rename", path: path, number: errno)
            }
            try DurableFile.syncDirectory(parent)
            try onStep(.named)
            return result
        } catch {
            remove(temporary)
            throw error
        }
    }

    private func fill<Result>(
        _ directory: DataDirectory, _ type: Engine, _ fill: (any LocalEngine, String) throws -> Result
    ) throws -> Result {
        let home = EngineHome(directory, type: type.type, logger: logger, open: type.open)
        let engine = try home.openEngine()
        let result: Result
        do {
            guard !engine.capabilities.isVolatile else {
                throw RestoreError(
                    .destination,
                    "the engine \"\(type.type)\" keeps nothing on disk, so that nothing can be restored into it")
            }
            try onStep(.opened)
            result = try fill(engine, directory.path)
            try onStep(.filled)
        } catch {
            do { try engine.close() } catch { logger.warning("the engine did not close cleanly: \(error)") }
            throw error
        }
        try engine.close()
        try home.markClean()
        try onStep(.closed)
        return result
    }

    /// Removes what restores to this place left that died. One that is under way is locked.
    private func removeLeftovers() throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: parent) where isTemporary(name) {
            let leftover = "\(parent)/\(name)"
            do {
                let lock = try DataDirectory(leftover)
                try DurableFile.removeTree(leftover)
                lock.unlock()
                logger.notice("an unfinished restore was removed", metadata: ["directory": "\(leftover)"])
            } catch let error as DataDirectory.Failure {
                logger.warning("another restore to the same place is under way: \(error)")
            } catch {
                logger.warning("what an unfinished restore left cannot be removed: \(error)")
            }
        }
    }

    private func isTemporary(_ name: String) -> Bool {
        guard name.hasPrefix(temporaryName) else { return false }
        let number = name.dropFirst(temporaryName.count)
        return number.count == 16 && [UInt8](hex: number) != nil
    }

    private func remove(_ temporary: String) {
        do {
            try DurableFile.removeTree(temporary)
        } catch {
            logger.warning("an unfinished restore could not be removed; the next one will do it: \(error)")
        }
    }

    /// Syncs a directory with everything in it.
    private static func syncTree(_ path: String) throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: path) {
            let inside = "\(path)/\(name)"
            if DurableFile.isDirectory(inside) {
                try syncTree(inside)
                continue
            }
            let file = open(inside, O_RDONLY | O_CLOEXEC)
            guard file >= 0 else { throw DurableFile.Failure(call: "open", path: inside, number: errno) }
            defer { close(file) }
            guard fsync(file) == 0 else { throw DurableFile.Failure(call: "fsync", path: inside, number: errno) }
        }
        try DurableFile.syncDirectory(path)
    }
}
