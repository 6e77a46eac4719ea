import Synchronization
import T4Protocols

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The databases that this process has open for writing.
///
/// Rows that are not in a file yet can only be read through the writer, so an inspection in the same process shares its
/// database. And RocksDB tells two openings in one process apart by path only, not by directory. Both hold for the whole
/// process, which makes this the one global state of the engine.
final class DatabaseRegistry: Sendable {
    /// A directory, whatever path leads to it.
    struct Key: Hashable, Sendable {
        private var device: UInt64
        private var inode: UInt64

        /// - Throws: `.ioFailed` when the directory is missing.
        init(_ directory: String) throws(EngineError) {
            var status = stat()
            guard stat(directory, &status) == 0 else { throw EngineError(system: errno, "stat", file: directory) }
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
        }
    }

    private struct Entry {
        /// Nil while it is being opened or closed.
        weak var database: Database?
    }

    static let shared = DatabaseRegistry()

    private let entries = Mutex<[Key: Entry]>([:])

    /// The database of a directory that is open for writing; nil where there is none.
    func writer(of key: Key) -> Database? { entries.withLock { $0[key]?.database } }

    /// Opens a directory for writing, which no other engine of this process may have open or be opening or closing.
    /// - Throws: `.inUse`, or what `open` throws.
    func open(
        _ key: Key, directory: String, _ open: () throws(EngineError) -> Database
    ) throws(EngineError) -> Database {
        let isFree = entries.withLock { entries in
            guard entries[key] == nil else { return false }
            entries[key] = Entry()
            return true
        }
        guard isFree else { throw EngineError(.inUse, "\(directory) is open in this process") }
        do throws(EngineError) {
            let database = try open()
            entries.withLock { $0[key] = Entry(database: database) }
            return database
        } catch {
            remove(key)
            throw error
        }
    }

    /// Forgets a database that was closed.
    func remove(_ key: Key) { entries.withLock { $0[key] = nil } }
}
