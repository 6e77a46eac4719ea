import T4Protocols

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Our lock on an engine's directory, held through `engine.lock`.
///
/// LevelDB's own lock is not enough: it knows an open directory by its path alone, and a second opening within one
/// process, though refused, drops the first one's lock on the file. This one belongs to the open file, so it holds
/// between any two openings, and the kernel lets it go when the process dies.
struct FileLock: ~Copyable {
    private let descriptor: Int32

    private init(descriptor: Int32) { self.descriptor = descriptor }

    deinit {
        // A child process between fork and exec still has the descriptor: closing alone would not let go.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    /// - Throws: `.inUse` while anybody has the directory open for writing.
    static func take(_ directory: String) throws(EngineError) -> FileLock {
        let path = "\(directory)/\(Layout.lockName)"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw EngineError(system: errno, "open", file: path) }
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            let number = errno
            if number == EINTR { continue }
            close(descriptor)
            guard number == EWOULDBLOCK else { throw EngineError(system: number, "lock", file: path) }
            throw EngineError(.inUse, "\(directory) is open in another process or engine (\(path) is locked)")
        }
        return FileLock(descriptor: descriptor)
    }
}
