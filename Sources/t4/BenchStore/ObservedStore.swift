import Synchronization
import T4Core
import T4Protocols

/// A store that counts the calls on another one, and can answer them late, as one far away would.
final class ObservedStore: ObjectStore {
    /// Calls on names with the same first part.
    struct Calls {
        var gets = 0
        var puts = 0
        var bytesPut = 0
        var pages = 0
        /// Listings that did not go on where the one before had ended.
        var listings = 0
    }

    private struct State {
        var calls: [String: Calls] = [:]
        /// Last name of the latest page, by prefix.
        var ends: [ObjectKey: ObjectKey] = [:]
        var putTime = Duration.zero
        /// Others are under way still.
        var putsDone = 0
    }

    private let base: any ObjectStore
    private let delay: Duration
    private let state = Mutex(State())

    /// - Parameter delay: Added to each call.
    init(_ base: any ObjectStore, delay: Duration = .zero) {
        self.base = base
        self.delay = delay
    }

    /// Calls by the first part of the names: `wal`, `sst`, `checkpoint`, ...
    var calls: [String: Calls] { state.withLock { $0.calls } }

    /// From call to answer of a put, on average.
    var meanPutTime: Duration {
        state.withLock { $0.putsDone == 0 ? .zero : $0.putTime / $0.putsDone }
    }

    /// Forgets the calls so far.
    func reset() { state.withLock { $0 = State() } }

    var capabilities: ObjectStoreCapabilities { base.capabilities }

    func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        count(key) { $0.gets += 1 }
        await pause()
        return try await base.get(key, bytes: bytes)
    }

    func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo {
        count(key) { $0.gets += 1 }
        await pause()
        return try await base.info(key)
    }

    func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        count(key) { calls in
            calls.puts += 1
            if case .bytes(let bytes) = payload { calls.bytesPut += bytes.count }
        }
        let clock = ContinuousClock()
        let begin = clock.now
        defer {
            state.withLock { state in
                state.putTime += clock.now - begin
                state.putsDone += 1
            }
        }
        await pause()
        return try await base.put(key, payload, when: condition)
    }

    func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        count(prefix) { $0.pages += 1 }
        if after == nil || after != state.withLock({ $0.ends[prefix] }) { count(prefix) { $0.listings += 1 } }
        await pause()
        let page = try await base.list(prefix: prefix, after: after, limit: limit)
        state.withLock { $0.ends[prefix] = page.objects.last?.key }
        return page
    }

    func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        await pause()
        try await base.delete(keys)
    }

    func close() async { await base.close() }

    private func pause() async {
        if delay > .zero { await BackoffTimer.system.pause(delay) }
    }

    private func count(_ key: ObjectKey, _ change: (inout Calls) -> Void) {
        let part = key.rawValue.split(separator: "/").first.map(String.init) ?? ""
        state.withLock { change(&$0.calls[part, default: Calls()]) }
    }
}
