import T4Conformance
import T4Core
import T4Protocols

/// Files in memory that behave like a disk with a page cache.
///
/// What was not synced may be lost in any combination of sectors when the power goes, names as well as bytes. Bytes
/// whose sync failed lose their claim to ever get to disk, although they can still be read: like on Linux.
final class SimulatedFileSystem: LogFileSystem {
    enum Call: String, CaseIterable, Sendable {
        case createDirectory, list, open, create, rename, remove, syncDirectory, freeBytes, size, read,
            write, syncData
        case truncate
    }

    enum Fault: Sendable {
        /// The nth call of that kind fails without an effect, a write half done; everything after works.
        case failing(Call, nth: Int, LogError.Code)
        /// The process dies in the nth call of any kind that changes something: it and all later calls fail.
        case dying(nth: Int)
    }

    /// What became of a file that was not synced.
    enum Change: Sendable {
        case write(offset: Int, bytes: [UInt8])
        case truncate(Int)
    }

    struct Inode: Sendable {
        /// What a read returns.
        var content: [UInt8] = []
        /// What is on disk for good.
        var durable: [UInt8] = []
        /// Changes that the next sync takes to disk.
        var pending: [Change] = []
        /// Changes that a failed sync gave up: on disk or not, no later sync helps.
        var orphaned: [Change] = []
    }

    enum NameChange: Sendable {
        case put(String, inode: Int)
        case remove(String)
    }

    struct State: Sendable {
        var inodes: [Inode] = []
        var names: [String: Int] = [:]
        var durableNames: [String: Int] = [:]
        var pendingNames: [NameChange] = []
        var counts: [Call: Int] = [:]
        var changes = 0
        var fault: Fault?
        var freeBytes: UInt64 = 1 << 40
    }

    private let state: Monitor<State>

    init() { state = Monitor(State()) }

    private init(_ state: State) { self.state = Monitor(state) }

    /// Calls of one kind so far.
    func count(_ call: Call) -> Int { state.withLock { $0.counts[call, default: 0] } }

    /// Waits until another thread has made that many calls of one kind.
    func wait(for count: Int, _ call: Call) {
        state.wait { $0.counts[call, default: 0] >= count ? () : nil }
    }

    /// Calls so far that change something.
    var changeCount: Int { state.withLock { $0.changes } }

    /// Sets what `freeBytes` answers.
    func setFreeBytes(_ size: UInt64) { state.withLock { $0.freeBytes = size } }

    /// Sets a fault and starts counting anew.
    func arm(_ fault: Fault?) {
        state.withLock { state in
            (state.counts, state.changes, state.fault) = ([:], 0, fault)
        }
    }

    /// The disk after a power failure now: a copy, so that many failures can be tried from one state.
    func powerLoss(_ random: inout SeededGenerator) -> SimulatedFileSystem {
        var next = State()
        state.withLock { state in
            // A journal takes changes of names to disk in order, up to some point.
            var names = state.durableNames
            for change in state.pendingNames.prefix(
                Int.random(in: 0...state.pendingNames.count, using: &random))
            {
                Self.apply(change, to: &names)
            }
            next.inodes = state.inodes.map { Self.survivor(of: $0, &random) }
            (next.names, next.durableNames) = (names, names)
            next.freeBytes = state.freeBytes
        }
        return SimulatedFileSystem(next)
    }

    /// Gives all files names below another directory.
    func move(_ directory: String, to newDirectory: String) {
        func moved(_ names: [String: Int]) -> [String: Int] {
            Dictionary(
                uniqueKeysWithValues: names.map { name, inode in
                    (name.hasPrefix(directory + "/") ? newDirectory + name.dropFirst(directory.count) : name, inode)
                })
        }
        state.withLock { state in
            precondition(state.pendingNames.isEmpty)
            (state.names, state.durableNames) = (moved(state.names), moved(state.durableNames))
        }
    }

    /// The same files, all synced, in a file system of their own.
    func copy() -> SimulatedFileSystem {
        var next = State()
        state.withLock { state in
            next.inodes = state.inodes.map { Inode(content: $0.content, durable: $0.content) }
            (next.names, next.durableNames) = (state.names, state.names)
        }
        return SimulatedFileSystem(next)
    }

    /// Paths of all files.
    var paths: [String] { state.withLock { $0.names.keys.sorted() } }

    /// Bytes of a file.
    func contents(_ path: String) -> [UInt8] {
        state.withLock { state in state.inodes[state.names[path]!].content }
    }

    /// Puts a file there, on disk.
    func setContents(_ path: String, _ bytes: [UInt8]) {
        state.withLock { state in
            state.inodes.append(Inode(content: bytes, durable: bytes))
            state.names[path] = state.inodes.count - 1
            state.durableNames[path] = state.inodes.count - 1
        }
    }

    // MARK: - LogFileSystem

    func createDirectory(_ path: String) throws(LogError) { try run(.createDirectory, path) { _ in } }

    func list(_ directory: String) throws(LogError) -> [String] {
        try run(.list, directory) { state in
            state.names.keys.filter { $0.hasPrefix(directory + "/") }.map {
                String($0.dropFirst(directory.count + 1))
            }
        }
    }

    func openForWriting(_ path: String) throws(LogError) -> any LogFile { try open(path) }

    func open(_ path: String) throws(LogError) -> any LogFile {
        let inode = try run(.open, path) { state in state.names[path] }
        guard let inode else { throw LogError(.notFound, "open: no such file", path: path) }
        return SimulatedFile(self, path, inode)
    }

    func create(_ path: String) throws(LogError) -> any LogFile {
        let inode: Int? = try run(.create, path) { state in
            if state.names[path] != nil { return nil }
            state.inodes.append(Inode())
            state.change(.put(path, inode: state.inodes.count - 1))
            return state.inodes.count - 1
        }
        guard let inode else { throw LogError(.ioFailed, "create: the file exists", path: path) }
        return SimulatedFile(self, path, inode)
    }

    func rename(_ path: String, to newPath: String) throws(LogError) {
        try run(.rename, path) { state in
            let inode = state.names[path]!
            // One change for a journal: never both names, never neither.
            state.change(.put(newPath, inode: inode))
            state.change(.remove(path))
        }
    }

    func remove(_ path: String) throws(LogError) {
        try run(.remove, path) { $0.change(.remove(path)) }
    }

    func syncDirectory(_ path: String) throws(LogError) {
        try run(.syncDirectory, path) { state in
            state.durableNames = state.names
            state.pendingNames = []
        }
    }

    func freeBytes(_ directory: String) throws(LogError) -> UInt64 {
        try run(.freeBytes, directory) { $0.freeBytes }
    }

    /// Counts a call, fails it if its turn has come, and else does it.
    func run<R>(
        _ call: Call, _ path: String, onFault: (inout State) -> Void = { _ in },
        _ body: (inout State) -> R
    ) throws(LogError) -> R {
        let code: LogError.Code? = state.withLock { state in
            let code = state.enter(call)
            if code != nil { onFault(&state) }
            return code
        }
        state.broadcast()
        if let code { throw LogError(code, "\(call.rawValue): injected fault", path: path) }
        return state.withLock(body)
    }

    private static func apply(_ change: NameChange, to names: inout [String: Int]) {
        switch change {
        case .put(let name, let inode): names[name] = inode
        case .remove(let name): names[name] = nil
        }
    }

    private static func survivor(of inode: Inode, _ random: inout SeededGenerator) -> Inode {
        var bytes = inode.durable
        // Sometimes nearly everything gets to disk, sometimes nearly nothing.
        let share = Double.random(in: -0.3...1.3, using: &random)
        for change in inode.orphaned + inode.pending {
            switch change {
            case .write(let offset, let written):
                var start = 0
                while start < written.count {
                    let end = min(written.count, ((offset + start) / 512 + 1) * 512 - offset)
                    if Double.random(in: 0..<1, using: &random) < share {
                        bytes.overwrite(at: offset + start, with: written[start..<end])
                    }
                    start = end
                }
            case .truncate(let size):
                if Bool.random(using: &random) { bytes.resize(size) }
            }
        }
        return Inode(content: bytes, durable: bytes)
    }
}

extension SimulatedFileSystem.State {
    /// The code to fail this call with; nil if it goes well.
    mutating func enter(_ call: SimulatedFileSystem.Call) -> LogError.Code? {
        counts[call, default: 0] += 1
        let changing: Set<SimulatedFileSystem.Call> = [
            .create, .rename, .remove, .syncDirectory, .write, .syncData, .truncate,
        ]
        if changing.contains(call) { changes += 1 }
        switch fault {
        case .failing(call, let nth, let code) where counts[call] == nth: return code
        case .dying(let nth) where changes >= nth: return .ioFailed
        default: return nil
        }
    }

    mutating func change(_ change: SimulatedFileSystem.NameChange) {
        switch change {
        case .put(let name, let inode): names[name] = inode
        case .remove(let name): names[name] = nil
        }
        pendingNames.append(change)
    }
}

private final class SimulatedFile: LogFile {
    private let fileSystem: SimulatedFileSystem
    private let path: String
    private let inode: Int

    init(_ fileSystem: SimulatedFileSystem, _ path: String, _ inode: Int) {
        (self.fileSystem, self.path, self.inode) = (fileSystem, path, inode)
    }

    func size() throws(LogError) -> UInt64 {
        try fileSystem.run(.size, path) { UInt64($0.inodes[self.inode].content.count) }
    }

    func read(_ count: Int, at offset: UInt64) throws(LogError) -> [UInt8] {
        try fileSystem.run(.read, path) { state in
            let content = state.inodes[self.inode].content
            guard Int(offset) < content.count else { return [] }
            return Array(content[Int(offset)..<min(content.count, Int(offset) + count)])
        }
    }

    func write(_ bytes: RawSpan, at offset: UInt64) throws(LogError) {
        let bytes = bytes.withUnsafeBytes { Array($0) }
        // A write that fails may have done a part; half of it here.
        let torn = { (state: inout SimulatedFileSystem.State) in
            state.inodes[self.inode].write(Array(bytes.prefix(bytes.count / 2)), at: Int(offset))
        }
        try fileSystem.run(.write, path, onFault: torn) {
            $0.inodes[self.inode].write(bytes, at: Int(offset))
        }
    }

    func syncData() throws(LogError) {
        let lost = { (state: inout SimulatedFileSystem.State) in
            state.inodes[self.inode].orphaned += state.inodes[self.inode].pending
            state.inodes[self.inode].pending = []
        }
        try fileSystem.run(.syncData, path, onFault: lost) { state in
            state.inodes[self.inode].sync()
        }
    }

    func truncate(to size: UInt64) throws(LogError) {
        try fileSystem.run(.truncate, path) { state in
            state.inodes[self.inode].content.resize(Int(size))
            state.inodes[self.inode].pending.append(.truncate(Int(size)))
        }
    }
}

extension SimulatedFileSystem.Inode {
    fileprivate mutating func write(_ bytes: [UInt8], at offset: Int) {
        content.overwrite(at: offset, with: bytes[...])
        pending.append(.write(offset: offset, bytes: bytes))
    }

    fileprivate mutating func sync() {
        for change in pending {
            switch change {
            case .write(let offset, let bytes): durable.overwrite(at: offset, with: bytes[...])
            case .truncate(let size): durable.resize(size)
            }
        }
        pending = []
    }
}

extension [UInt8] {
    fileprivate mutating func overwrite(at offset: Int, with bytes: ArraySlice<UInt8>) {
        if count < offset + bytes.count { resize(offset + bytes.count) }
        replaceSubrange(offset..<offset + bytes.count, with: bytes)
    }

    fileprivate mutating func resize(_ size: Int) {
        if count > size {
            removeLast(count - size)
        } else {
            append(contentsOf: [UInt8](repeating: 0, count: size - count))
        }
    }
}
