package import T4Protocols

/// How long and how often a `RetryingStore` tries.
package struct RetryPolicy: Hashable, Sendable {
    /// No attempt begins later than this after the call did.
    package var deadline: Duration
    /// The pause before the second attempt is between zero and this; the range doubles with each attempt.
    package var pauseFirst: Duration
    /// The range of the pause grows no further.
    package var pauseMax: Duration

    package init(
        deadline: Duration = .seconds(60), pauseFirst: Duration = .milliseconds(100), pauseMax: Duration = .seconds(20)
    ) {
        self.deadline = deadline
        self.pauseFirst = pauseFirst
        self.pauseMax = pauseMax
    }
}

/// Tries again what a store could not do just now, with pauses that are random so that clients do not come in step.
///
/// `.unavailable` changed nothing, so every call is tried again. `.outcomeUnknown` may have happened, or happen later:
/// reads, deletes and unconditional puts of the same bytes are tried again, a conditional put never is (Rule S1) - its
/// second attempt could be refused because of the first one. The caller reads back and decides.
package struct RetryingStore: ObjectStore {
    private let base: any ObjectStore
    private let policy: RetryPolicy
    private let timer: BackoffTimer
    private let random: @Sendable (ClosedRange<Double>) -> Double

    /// - Parameter random: A number in the range, any as likely as the others.
    package init(
        _ base: any ObjectStore, policy: RetryPolicy = RetryPolicy(), timer: BackoffTimer = .system,
        random: @escaping @Sendable (ClosedRange<Double>) -> Double = { Double.random(in: $0) }
    ) {
        self.base = base
        self.policy = policy
        self.timer = timer
        self.random = random
    }

    package var capabilities: ObjectStoreCapabilities { base.capabilities }

    package func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        try await retrying { () throws(ObjectStoreError) in try await base.get(key, bytes: bytes) }
    }

    package func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo {
        try await retrying { () throws(ObjectStoreError) in try await base.info(key) }
    }

    package func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        try await retrying(repeatable: condition == .always) { () throws(ObjectStoreError) in
            try await base.put(key, payload, when: condition)
        }
    }

    package func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        try await retrying { () throws(ObjectStoreError) in
            try await base.list(prefix: prefix, after: after, limit: limit)
        }
    }

    package func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        try await retrying { () throws(ObjectStoreError) in try await base.delete(keys) }
    }

    package func close() async { await base.close() }

    /// - Parameter repeatable: Whether a second time does no harm when the first may have happened.
    private func retrying<Result>(
        repeatable: Bool = true, _ attempt: () async throws(ObjectStoreError) -> Result
    ) async throws(ObjectStoreError) -> Result {
        let start = timer.clock.now
        var range = policy.pauseFirst
        var isUnsure = false
        while true {
            do throws(ObjectStoreError) {
                return try await attempt()
            } catch {
                isUnsure = isUnsure || error.code == .outcomeUnknown
                // What the last attempt says holds for that one only.
                let verdict =
                    isUnsure && error.code != .outcomeUnknown
                    ? ObjectStoreError(.outcomeUnknown, "an earlier attempt may have changed something", cause: error)
                    : error
                let isPassing = error.code == .unavailable || error.code == .outcomeUnknown && repeatable
                let pause = range * random(0...1)
                guard isPassing, !Task.isCancelled, timer.clock.now + pause - start <= policy.deadline else {
                    throw verdict
                }
                await timer.pause(pause)
                if Task.isCancelled { throw verdict }
                range = min(range * 2, policy.pauseMax)
            }
        }
    }
}
