import T4Protocols

@testable import T4Core

/// A store whose puts wait, while it holds, until they are let through, in any order.
final class HeldStore: ObjectStore {
    struct Held: Sendable {
        var key: ObjectKey
        fileprivate var gate: FirstValue<Void>
    }

    private struct State {
        var holds = true
        var held: [Held] = []
    }

    private let base: any ObjectStore
    private let state: Monitor<State>
    /// Told whenever a put is held.
    private let onHeld: @Sendable () -> Void
    private let prefix: ObjectKey

    /// - Parameter prefix: Of the names whose puts are held.
    init(_ base: any ObjectStore, prefix: ObjectKey = "", onHeld: @escaping @Sendable () -> Void = {}) {
        self.base = base
        self.onHeld = onHeld
        self.prefix = prefix
        state = Monitor(State())
    }

    var heldKeys: [ObjectKey] { state.withLock { $0.held.map(\.key) } }

    /// Waits until that many puts are held.
    func waitForHeld(_ count: Int) {
        state.wait { $0.held.count >= count ? () : nil }
    }

    /// Lets one of the held puts go on.
    func letThrough(_ index: Int) {
        state.withLock { $0.held.remove(at: index) }.gate.give(())
    }

    func letThrough(_ key: ObjectKey) {
        let held = state.withLock { state in
            state.held.firstIndex { $0.key == key }.map { state.held.remove(at: $0) }
        }
        held?.gate.give(())
    }

    /// Lets all go on, and holds none from now on.
    func open() {
        let held = state.withLock { state in
            state.holds = false
            defer { state.held = [] }
            return state.held
        }
        for put in held { put.gate.give(()) }
    }

    var capabilities: ObjectStoreCapabilities { base.capabilities }

    func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        let gate = FirstValue<Void>()
        let isHeld = state.withLock { state in
            guard state.holds, key.rawValue.hasPrefix(prefix.rawValue) else { return false }
            state.held.append(Held(key: key, gate: gate))
            return true
        }
        if isHeld {
            state.broadcast()
            onHeld()
            await gate.wait()
        }
        return try await base.put(key, payload, when: condition)
    }

    func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        try await base.get(key, bytes: bytes)
    }
    func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo { try await base.info(key) }
    func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        try await base.list(prefix: prefix, after: after, limit: limit)
    }
    func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) { try await base.delete(keys) }
    func close() async { await base.close() }
}
