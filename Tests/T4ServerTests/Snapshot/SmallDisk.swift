import Synchronization
import T4Core

/// The machine's file system, but for how much space it has.
final class SmallDisk: LogFileSystem {
    private let system = POSIXFileSystem()
    let free: Mutex<UInt64>

    init(free: UInt64) { self.free = Mutex(free) }

    func createDirectory(_ path: String) throws(LogError) { try system.createDirectory(path) }
    func list(_ directory: String) throws(LogError) -> [String] { try system.list(directory) }
    func open(_ path: String) throws(LogError) -> any LogFile { try system.open(path) }
    func openForWriting(_ path: String) throws(LogError) -> any LogFile { try system.openForWriting(path) }
    func create(_ path: String) throws(LogError) -> any LogFile { try system.create(path) }
    func rename(_ path: String, to newPath: String) throws(LogError) { try system.rename(path, to: newPath) }
    func remove(_ path: String) throws(LogError) { try system.remove(path) }
    func syncDirectory(_ path: String) throws(LogError) { try system.syncDirectory(path) }
    func freeBytes(_ directory: String) throws(LogError) -> UInt64 { free.withLock { $0 } }
}
