#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The lock on an engine's directory, held through `engine.lock`: exclusive for a writer, shared for an inspection.
///
/// The lock belongs to the open file: it also holds between two opens in one process, under whatever path, and the
/// kernel lets it go when the process dies.
package struct DirectoryLock: ~Copyable {
    private let descriptor: Int32

    private init(descriptor: Int32) { self.descriptor = descriptor }

    deinit {
        // A child process between fork and exec still has the descriptor: closing alone would not let go.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    /// Takes the lock of the only writer.
    /// - Throws: `.inUse` while anybody has the directory open.
    package static func exclusive(_ directory: String) throws(EngineError) -> DirectoryLock {
        let path = path(directory)
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw EngineError(system: errno, "open", file: path) }
        let lock = DirectoryLock(descriptor: descriptor)
        guard try lock.take(LOCK_EX, path) else {
            throw EngineError(.inUse, "\(directory) is open in another process or engine (\(path) is locked)")
        }
        return lock
    }

    /// Keeps writers out while an idle directory is inspected; nothing is written.
    /// - Returns: Nil when a writer holds the directory.
    package static func shared(_ directory: String) throws(EngineError) -> DirectoryLock? {
        let path = path(directory)
        var descriptor = open(path, O_RDONLY | O_CLOEXEC)
        // A copy made without the lock file: lock the directory itself, so that there is always a lock to hold.
        if descriptor < 0, errno == ENOENT { descriptor = open(directory, O_RDONLY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw EngineError(system: errno, "open", file: path) }
        let lock = DirectoryLock(descriptor: descriptor)
        guard try lock.take(LOCK_SH, path) else { return nil }
        return lock
    }

    private static func path(_ directory: String) -> String { "\(directory)/engine.lock" }

    private func take(_ kind: Int32, _ path: String) throws(EngineError) -> Bool {
        while flock(descriptor, kind | LOCK_NB) != 0 {
            switch errno {
            case EINTR: continue
            case EWOULDBLOCK: return false
            default: throw EngineError(system: errno, "lock", file: path)
            }
        }
        return true
    }
}
