import Glibc

/// Which byte of the lock file stands for what. Part of the format: all processes on a store must agree.
struct LockRange {
    let offset: Int64

    /// Shared while a put changes names, exclusive while a listing reads a folder or empty folders are removed.
    static let names = LockRange(offset: 0)
    /// Exclusive while a store is made or opened.
    static let start = LockRange(offset: 1)

    /// Held by the client that owns the temporary files of this number, below 2^60, as long as it lives.
    static func owner(_ number: UInt64) -> LockRange { LockRange(offset: 1 << 60 + Int64(number)) }

    /// Exclusive while an object is changed. Two objects may share a byte; they only wait for each other.
    static func object(_ name: String.UTF8View) -> LockRange {
        LockRange(offset: 1 << 61 + Int64(fnv1a(name) & (1 << 61 - 1)))
    }
}

/// The 64-bit FNV-1a hash.
func fnv1a(_ bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
}

/// Locks between the threads and processes that use a store.
///
/// Open-file-description locks: each holder opens the file anew, so that threads of one process exclude each other too,
/// and the kernel lets go when a process dies.
final class LockFile: Sendable {
    private let folder: OpenFile

    static let name = "lock"

    /// The lock file of the store in that folder, made when it is missing.
    init(root: OpenFile) throws(SystemFailure) {
        folder = root
        _ = try OpenFile(LockFile.name, in: root, O_RDWR | O_CREAT)
    }

    /// Waits for a lock and takes it; it is held as long as the value lives.
    func hold(_ range: LockRange, exclusive: Bool = true) throws(SystemFailure) -> HeldLock {
        let file = try OpenFile(LockFile.name, in: folder, O_RDWR)
        var lock = LockFile.description(range, exclusive ? F_WRLCK : F_RDLCK)
        try check("lock", file.path) { fcntl(file.descriptor, Command.setAndWait, &lock) }
        return HeldLock(file, range)
    }

    /// Runs `body` with a lock held, after waiting for it.
    func holding<Result>(
        _ range: LockRange, exclusive: Bool = true, _ body: (HeldLock) throws(SystemFailure) -> Result
    ) throws(SystemFailure) -> Result {
        let lock = try hold(range, exclusive: exclusive)
        defer { withExtendedLifetime(lock) {} }
        return try body(lock)
    }

    /// True when some other client holds the lock.
    func isHeld(_ range: LockRange) throws(SystemFailure) -> Bool {
        let file = try OpenFile(LockFile.name, in: folder, O_RDWR)
        var lock = LockFile.description(range, F_WRLCK)
        try check("lock", file.path) { fcntl(file.descriptor, Command.get, &lock) }
        return lock.l_type != Int16(F_UNLCK)
    }

    fileprivate static func description(_ range: LockRange, _ kind: Int32) -> flock {
        var lock = flock()
        lock.l_type = Int16(kind)
        lock.l_whence = Int16(SEEK_SET)
        lock.l_start = off_t(range.offset)
        lock.l_len = 1
        return lock
    }

    /// Numbers of the kernel's interface; glibc has names for them behind a macro that Swift does not set.
    fileprivate enum Command {
        static let get: Int32 = 36
        static let set: Int32 = 37
        static let setAndWait: Int32 = 38
    }
}

/// A lock that is held until nobody holds this value any more.
final class HeldLock: Sendable {
    private let file: OpenFile
    private let range: LockRange

    fileprivate init(_ file: OpenFile, _ range: LockRange) {
        self.file = file
        self.range = range
    }

    deinit {
        // A child process between fork and exec still has the descriptor: closing alone would not let go.
        var lock = LockFile.description(range, F_UNLCK)
        _ = fcntl(file.descriptor, LockFile.Command.set, &lock)
    }

    /// The number in the lock file that grows whenever folders are removed; read and raised under `LockRange.names`.
    func generation() throws(SystemFailure) -> UInt64 {
        let bytes = try file.read(8, at: 0)
        return bytes.count < 8 ? 0 : bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
    }

    func raiseGeneration() throws(SystemFailure) {
        let next = try generation() &+ 1
        let bytes = withUnsafeBytes(of: next.littleEndian) { Array($0) }
        try file.write(bytes.span.bytes, at: 0)
    }
}
