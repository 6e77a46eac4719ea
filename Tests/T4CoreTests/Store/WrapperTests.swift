import Foundation
import Synchronization
import T4Core
import T4Protocols
import Testing

/// Goal: what each wrapper adds to a store. Method: calls through it, and a look at the store below.
@Suite struct WrapperTests {
    @Test func aPrefixHidesWhatIsBesideIt() async throws {
        let base = try await makeMemoryStore()
        let store = PrefixedStore(base, prefix: "t4/")
        for key in ["t4", "t4.x", "t4/", "t5/a", "a"] as [ObjectKey] { try await base.put(key, "beside") }
        try await store.put("a", "1")
        try await store.put("b/c", "2")
        #expect(try await base.get("t4/b/c", bytes: nil).bytes == Array("2".utf8))
        let page = try await store.list(prefix: "", after: "", limit: 10)
        #expect(page.objects.map(\.key) == ["a", "b/c"])
        await #expect(throws: ObjectStoreError.self) { try await store.delete([""]) }
        try await store.delete(["a", "b/c"])
        #expect(try await base.list(prefix: "", after: nil, limit: 10).objects.count == 5)
    }

    @Test func eachCallIsReportedOnce() async throws {
        let seen = Mutex<[StoreObservation]>([])
        let time = PausedTime()
        let store = MeteredStore(
            SlowStore(try await makeMemoryStore()) { await time.timer.pause(.seconds(2)) }, clock: time
        ) { observation in seen.withLock { $0.append(observation) } }
        let file = FileManager.default.temporaryDirectory.appending(path: "t4-metered-\(UUID().uuidString)")
        try Data(count: 70).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        try await store.put("a", "12345")
        _ = try await store.put("b", .file(path: file.path), when: .always)
        _ = try await store.get("a", bytes: 1..<4)
        _ = try await store.info("a")
        _ = try await store.list(prefix: "", after: nil, limit: 10)
        try await store.delete(["a", "b", "c"])
        await #expect(throws: ObjectStoreError.self) { _ = try await store.get("a", bytes: nil) }
        let observations = seen.withLock { $0 }
        #expect(observations.map(\.operation) == [.put, .put, .get, .info, .list, .delete, .get])
        #expect(observations.map(\.bytesWritten) == [5, 70, 0, 0, 0, 0, 0])
        #expect(observations.map(\.bytesRead) == [0, 0, 3, 0, 0, 0, 0])
        #expect(observations.map(\.nameCount) == [0, 0, 0, 0, 2, 3, 0])
        #expect(observations.map(\.failure) == [nil, nil, nil, nil, nil, nil, .notFound])
        #expect(observations.allSatisfy { $0.duration == .seconds(2) })
    }

    @Test func noMoreCallsThanAllowedAreInside() async throws {
        let inside = Mutex((now: 0, most: 0))
        let base = SlowStore(try await makeMemoryStore()) {
            inside.withLock {
                $0.now += 1
                $0.most = max($0.most, $0.now)
            }
            for _ in 0..<20 { await Task.yield() }
            inside.withLock { $0.now -= 1 }
        }
        let store = ThrottledStore(base, parallelMax: 3)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<50 {
                group.addTask { await #expect(throws: ObjectStoreError.self) { _ = try await store.info("absent") } }
            }
        }
        #expect(inside.withLock { $0.most } == 3)
        #expect(inside.withLock { $0.now } == 0)
    }

    @Test func whoeverWaitsTooLongInLineIsRefusedOrCancelledAndTheOthersGoOn() async throws {
        let gate = FirstValue<Void>()
        let entered = FirstValue<Void>()
        let isFirst = Mutex(true)
        let base = SlowStore(try await makeMemoryStore()) {
            guard
                isFirst.withLock({ first in
                    defer { first = false }
                    return first
                })
            else { return }
            entered.give(())
            await gate.wait()
        }
        let store = ThrottledStore(base, parallelMax: 1, waitingMax: 1)
        let running = Task { try await store.put("running", "x") }
        await entered.wait()
        let waiting = Task { try await store.put("waiting", "x") }
        // Until the waiting one is in line this call would be let in line itself, and then cancelled.
        var refusal: ObjectStoreError?
        while refusal?.message.contains("already wait") != true {
            let probe = Task { try await store.put("refused", "x") }
            probe.cancel()
            refusal = await #expect(throws: ObjectStoreError.self) { _ = try await probe.value }
        }
        #expect(refusal?.code == .unavailable)
        waiting.cancel()
        let cancelled = await #expect(throws: ObjectStoreError.self) { _ = try await waiting.value }
        #expect(cancelled?.code == .unavailable)
        gate.give(())
        _ = try await running.value
        try await store.put("after", "x")
        #expect(try await store.list(prefix: "", after: nil, limit: 10).objects.map(\.key) == ["after", "running"])
    }
}

/// Does something before each call.
private struct SlowStore: ObjectStore {
    let base: any ObjectStore
    let before: @Sendable () async -> Void

    init(_ base: any ObjectStore, before: @escaping @Sendable () async -> Void) {
        self.base = base
        self.before = before
    }

    var capabilities: ObjectStoreCapabilities { base.capabilities }

    func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        await before()
        return try await base.get(key, bytes: bytes)
    }

    func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo {
        await before()
        return try await base.info(key)
    }

    func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        await before()
        return try await base.put(key, payload, when: condition)
    }

    func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        await before()
        return try await base.list(prefix: prefix, after: after, limit: limit)
    }

    func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        await before()
        try await base.delete(keys)
    }

    func close() async { await base.close() }
}
