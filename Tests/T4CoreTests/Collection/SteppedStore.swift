import T4Protocols

@testable import T4Core

/// A store in memory whose clients stand still before each call until they are told to go on, one at a time: so the order
/// of all calls of several threads is what a test says.
final class SteppedStorage: Sendable {
    /// What becomes of a call.
    enum Turn: Sendable {
        case proceed
        /// The call has its effect, and the caller does not hear of it.
        case loseAnswer
        /// The caller hears that the outcome is unknown; the effect comes later, if at all.
        case late
        /// The client died.
        case stop
    }

    struct Object: Sendable {
        var bytes: [UInt8]
        var version: UInt64
    }

    struct Call: Sendable {
        enum Kind: Hashable, Sendable { case read, put, delete }

        var kind: Kind
        /// What is read, written or deleted first, or begins the names that are listed.
        var name: String
        fileprivate var gate: FirstValue<Turn>
    }

    private struct State {
        var objects: [String: Object] = [:]
        var version: UInt64 = 0
        var changeCount = 0
        var waiting: [Int: Call] = [:]
        var running: Set<Int> = []
        var late: [@Sendable (SteppedStorage) -> Void] = []
        /// Clients do not stop before calls.
        var isFree = true
    }

    private let state: Monitor<State>

    init(_ objects: [String: Object] = [:], version: UInt64 = 0) {
        state = Monitor(State(objects: objects, version: version))
    }

    var objects: [String: Object] { state.withLock { $0.objects } }
    var version: UInt64 { state.withLock { $0.version } }
    /// How many puts and deletions there were.
    var changeCount: Int { state.withLock { $0.changeCount } }

    // MARK: - For the scheduler

    /// Starts threads, each of which runs until its first call.
    func start(_ bodies: [@Sendable () -> Void]) -> [SystemThread] {
        state.withLock { state in
            state.isFree = false
            state.running = Set(bodies.indices)
        }
        return bodies.enumerated().map { number, body in
            SystemThread(name: "actor \(number)") {
                body()
                self.state.withLock { _ = $0.running.remove(number) }
                self.state.broadcast()
            }
        }
    }

    /// Waits until everybody stands before a call or is done; gives those who stand.
    func standing() -> [Int: Call] {
        state.wait { state in state.waiting.count == state.running.count ? state.waiting : nil }
    }

    func go(_ client: Int, _ turn: Turn) {
        state.withLock { $0.waiting.removeValue(forKey: client) }?.gate.give(turn)
    }

    var lateCount: Int { state.withLock { $0.late.count } }

    /// Lets an effect happen of which nobody hears any more.
    func land(_ number: Int) { state.withLock { $0.late.remove(at: number) }(self) }

    // MARK: - Calls

    fileprivate func turn(_ client: Int, _ kind: Call.Kind, _ name: String) async -> Turn {
        let gate = FirstValue<Turn>()
        let isFree = state.withLock { state in
            if !state.isFree {
                let other = state.waiting.updateValue(Call(kind: kind, name: name, gate: gate), forKey: client)
                precondition(other == nil, "a client makes two calls at once, of which one would wait for ever")
            }
            return state.isFree
        }
        guard !isFree else { return .proceed }
        state.broadcast()
        return await gate.wait()
    }

    fileprivate func putLater(_ effect: @escaping @Sendable (SteppedStorage) -> Void) {
        state.withLock { $0.late.append(effect) }
    }

    fileprivate func put(
        _ name: String, _ bytes: [UInt8], when condition: PutCondition
    ) throws(ObjectStoreError) -> ObjectVersion {
        try state.withLock { state throws(ObjectStoreError) in
            let there = state.objects[name]
            switch condition {
            case .always: break
            case .absent:
                if there != nil { throw ObjectStoreError(.alreadyExists, "\(name): there is such an object") }
            case .unchanged(let version):
                if there.map({ "\($0.version)" }) != version.rawValue {
                    throw ObjectStoreError(.conditionFailed, "\(name): not at version \(version)")
                }
            }
            state.version += 1
            state.changeCount += 1
            state.objects[name] = Object(bytes: bytes, version: state.version)
            return ObjectVersion("\(state.version)")
        }
    }

    fileprivate func delete(_ keys: [ObjectKey]) {
        state.withLock { state in
            state.changeCount += 1
            for key in keys { state.objects[key.rawValue] = nil }
        }
    }
}

/// A client of it.
final class SteppedStore: ObjectStore {
    private let storage: SteppedStorage
    private let number: Int

    init(_ storage: SteppedStorage, _ number: Int = 0) {
        self.storage = storage
        self.number = number
    }

    let capabilities = ObjectStoreCapabilities(putsIfAbsent: true, putsIfUnchanged: true, isDurable: true)

    func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        try await step(.read, key)
        guard let object = storage.objects[key.rawValue] else {
            throw ObjectStoreError(.notFound, "\(key): there is no such object")
        }
        let info = self.info(key, object)
        let range = try info.cut(bytes)
        return StoredBytes(bytes: Array(object.bytes[Int(range.lowerBound)..<Int(range.upperBound)]), info: info)
    }

    func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo {
        try await get(key, bytes: nil).info
    }

    func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        guard case .bytes(let bytes) = payload else { throw ObjectStoreError(.unsupported, "files") }
        switch await storage.turn(number, .put, key.rawValue) {
        case .proceed: return try storage.put(key.rawValue, bytes, when: condition)
        case .stop: throw SteppedStore.death
        case .loseAnswer: do { _ = try storage.put(key.rawValue, bytes, when: condition) } catch { break }
        case .late:
            storage.putLater { storage in
                do { _ = try storage.put(key.rawValue, bytes, when: condition) } catch { return }
            }
        }
        throw ObjectStoreError(.outcomeUnknown, "\(key): the answer was lost")
    }

    func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        try await step(.read, prefix)
        let keys = storage.objects.filter { name, _ in
            name.hasPrefix(prefix.rawValue) && after.map { $0.rawValue < name } ?? true
        }
        let sorted = keys.map { info(ObjectKey($0.key), $0.value) }.sorted { $0.key < $1.key }
        return ListPage(objects: Array(sorted.prefix(limit)), hasMore: sorted.count > limit)
    }

    func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        try await step(.delete, keys.first ?? "")
        storage.delete(keys)
    }

    func close() async {}

    private static var death: ObjectStoreError { ObjectStoreError(.closed, "this client died") }

    private func step(_ kind: SteppedStorage.Call.Kind, _ key: ObjectKey) async throws(ObjectStoreError) {
        if case .stop = await storage.turn(number, kind, key.rawValue) { throw SteppedStore.death }
    }

    private func info(_ key: ObjectKey, _ object: SteppedStorage.Object) -> ObjectInfo {
        ObjectInfo(key: key, size: UInt64(object.bytes.count), version: ObjectVersion("\(object.version)"))
    }
}
