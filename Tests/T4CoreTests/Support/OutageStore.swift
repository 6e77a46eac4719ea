import T4Protocols

@testable import T4Core

/// A store that stays away while it is told to.
final class OutageStore: ObjectStore {
    private struct State {
        var isOut = false
        /// Calls that are still answered before it goes; nil for no limit.
        var callsLeft: Int?
        var refused = 0
    }

    private let base: any ObjectStore
    private let state = Monitor(State())

    init(_ base: any ObjectStore) { self.base = base }

    func goAway() { state.withLock { $0.isOut = true } }

    /// Answers that many more calls.
    func goAway(afterCalls count: Int) { state.withLock { $0.callsLeft = count } }

    func comeBack() { state.withLock { $0 = State() } }

    /// Waits until a call was refused.
    func waitForRefusal() { state.wait { $0.refused > 0 ? () : nil } }

    private func check() throws(ObjectStoreError) {
        let isOut = state.withLock { state in
            if let left = state.callsLeft {
                state.callsLeft = max(0, left - 1)
                if left == 0 { state.isOut = true }
            }
            if state.isOut { state.refused += 1 }
            return state.isOut
        }
        state.broadcast()
        if isOut { throw ObjectStoreError(.unavailable, "the store is away") }
    }

    var capabilities: ObjectStoreCapabilities { base.capabilities }

    func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        try check()
        return try await base.get(key, bytes: bytes)
    }

    func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo {
        try check()
        return try await base.info(key)
    }

    func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        try check()
        return try await base.put(key, payload, when: condition)
    }

    func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        try check()
        return try await base.list(prefix: prefix, after: after, limit: limit)
    }

    func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        try check()
        try await base.delete(keys)
    }

    func close() async { await base.close() }
}
