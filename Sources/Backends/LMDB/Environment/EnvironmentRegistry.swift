import Synchronization
import T4Protocols

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The data files that this process has open.
///
/// LMDB forbids to open one twice in a process: closing the second would drop the POSIX locks of the first. So an
/// inspection of a directory that is open here shares the environment. This is the one global state of the engine, as
/// the restriction holds for the whole process.
final class EnvironmentRegistry: Sendable {
    /// A directory, whatever path leads to it.
    struct Key: Hashable, Sendable {
        var device: UInt64
        var inode: UInt64
    }

    private struct Entry {
        weak var environment: Environment?
    }

    static let shared = EnvironmentRegistry()

    private let entries = Mutex<[Key: Entry]>([:])

    /// Opens the directory, or shares what is open for an inspection.
    /// - Throws: `.inUse` when a writer asks for a directory that is open, or while it is being closed.
    func open(_ settings: LMDBSettings, context: EngineContext) throws(EngineError) -> Environment {
        var status = stat()
        guard stat(context.directory, &status) == 0 else {
            throw EngineError(system: errno, "stat", file: context.directory)
        }
        let key = Key(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
        return try entries.withLock { entries throws(EngineError) in
            if let entry = entries[key] {
                if context.isReadOnly, let environment = entry.environment { return environment }
                throw EngineError(.inUse, "\(context.directory) is open in this process")
            }
            let environment = try Environment.open(settings, context: context, key: key)
            entries[key] = Entry(environment: environment)
            return environment
        }
    }

    /// Closes the files and forgets them in one step, so that nobody opens them in between.
    func remove(_ key: Key, close: () -> Void) {
        entries.withLock { entries in
            close()
            entries[key] = nil
        }
    }
}
