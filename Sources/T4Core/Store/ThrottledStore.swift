import Synchronization
package import T4Protocols

/// Lets a limited number of calls into a store at once; the others wait in the order they came.
package final class ThrottledStore: ObjectStore {
    private struct State {
        var free: Int
        /// Each is given true when its call may go on, false when its task was cancelled.
        var waiting = FIFO<FirstValue<Bool>>()
    }

    private let base: any ObjectStore
    private let waitingMax: Int
    private let state: Mutex<State>

    /// - Parameters:
    ///   - parallelMax: Calls at once, at least 1.
    ///   - waitingMax: Calls that may wait; further ones fail with `.unavailable`, as do those that are cancelled.
    package init(_ base: any ObjectStore, parallelMax: Int, waitingMax: Int = 10_000) {
        precondition(parallelMax > 0, "a store without a call at once")
        self.base = base
        self.waitingMax = waitingMax
        state = Mutex(State(free: parallelMax))
    }

    package var capabilities: ObjectStoreCapabilities { base.capabilities }

    package func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        try await inTurn { () throws(ObjectStoreError) in try await base.get(key, bytes: bytes) }
    }

    package func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo {
        try await inTurn { () throws(ObjectStoreError) in try await base.info(key) }
    }

    package func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        try await inTurn { () throws(ObjectStoreError) in try await base.put(key, payload, when: condition) }
    }

    package func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        try await inTurn { () throws(ObjectStoreError) in
            try await base.list(prefix: prefix, after: after, limit: limit)
        }
    }

    package func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        try await inTurn { () throws(ObjectStoreError) in try await base.delete(keys) }
    }

    /// Closes the store below; calls that wait fail with what that store says.
    package func close() async { await base.close() }

    private func inTurn<Result>(
        _ work: () async throws(ObjectStoreError) -> Result
    ) async throws(ObjectStoreError) -> Result {
        try await enter()
        defer { leave() }
        return try await work()
    }

    private func enter() async throws(ObjectStoreError) {
        let turn = FirstValue<Bool>()
        let isFull = state.withLock { state in
            if state.free > 0 {
                state.free -= 1
                turn.give(true)
            } else if state.waiting.count < waitingMax {
                state.waiting.append(turn)
            } else {
                return true
            }
            return false
        }
        if isFull {
            throw ObjectStoreError(.unavailable, "\(waitingMax) calls already wait for the object store")
        }
        let isMine = await withTaskCancellationHandler {
            await turn.wait()
        } onCancel: {
            turn.give(false)
        }
        if !isMine { throw ObjectStoreError(.unavailable, "cancelled while waiting for the object store") }
    }

    private func leave() {
        state.withLock { state in
            while let next = state.waiting.popFirst() {
                // One that was cancelled leaves its turn to the next.
                if next.give(true) { return }
            }
            state.free += 1
        }
    }
}
