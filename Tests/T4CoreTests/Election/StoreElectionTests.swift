import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: whatever becomes of a swap, an election says of it only what is sure. Method: stores that lose calls and answers.
@Suite struct StoreElectionTests {
    private static func record(_ term: UInt64, nonce: UInt64, sequence: UInt64 = 1) -> LeaderRecord {
        LeaderRecord(
            term: term, nodeID: "a", instanceID: "a-1", address: "a:1", inSyncSet: ["a-1"], storeComplete: true,
            sequence: sequence, nonce: nonce)
    }

    /// An election of `store`, and one whose swaps fail as planned.
    private func pair(
        _ fault: StoreFault
    ) async throws -> (store: any ObjectStore, whole: StoreElection, faulty: StoreElection) {
        let store = try await makeMemoryStore()
        let faulty = FaultyStore(store, faults: [fault])
        return (store, try await StoreElection.open(store), try await StoreElection.open(faulty))
    }

    private func swapFault(_ moment: StoreFault.Moment, _ calls: StoreFault.Calls = .nth(1)) -> StoreFault {
        StoreFault(.put, prefix: "leader-lock", moment, calls, error: .outcomeUnknown)
    }

    @Test func aLostAnswerIsFoundOut() async throws {
        let (_, whole, faulty) = try await pair(swapFault(.afterEffect, .from(1)))
        let first = Self.record(1, nonce: 1)
        guard case .won(let held) = try await faulty.campaign(with: first, replacing: nil) else {
            return #expect(Bool(false), "not won")
        }
        let next = Self.record(1, nonce: 2, sequence: 2)
        let renewed = try await faulty.update(held, to: next)
        #expect(try await whole.current() == next)
        try await faulty.resign(renewed)
        #expect(try await whole.current()?.isResigned == true)
    }

    /// What has not landed may land yet.
    @Test func aSwapThatIsNotThereIsUnknown() async throws {
        let (_, whole, faulty) = try await pair(swapFault(.beforeEffect, .from(1)))
        let first = Self.record(1, nonce: 1)
        await expect(.outcomeUnknown) { _ = try await faulty.campaign(with: first, replacing: nil) }
        guard case .won(let held) = try await whole.campaign(with: first, replacing: nil) else {
            return #expect(Bool(false), "not won")
        }
        await expect(.outcomeUnknown) { _ = try await faulty.update(held, to: Self.record(1, nonce: 2, sequence: 2)) }
        await expect(.outcomeUnknown) { try await faulty.resign(held) }
        await expect(.outcomeUnknown) {
            _ = try await faulty.campaign(with: Self.record(2, nonce: 3), replacing: first)
        }
        #expect(try await whole.current() == first)
    }

    /// Somebody else's record, or a further one of one's own, settles what became of a swap: it cannot land any more.
    @Test func anotherRecordSettlesIt() async throws {
        let store = try await makeMemoryStore()
        let whole = try await StoreElection.open(store)
        let first = Self.record(1, nonce: 1)
        guard case .won(let held) = try await whole.campaign(with: first, replacing: nil) else {
            return #expect(Bool(false), "not won")
        }
        let other = Self.record(2, nonce: 2)
        // Between the lost swap and the look at what is there, somebody else gets through.
        let racing = InterruptedStore(store) { _ = try await whole.campaign(with: other, replacing: first) }
        let late = try await StoreElection.open(racing)
        await racing.arm()
        await expect(.fenced) { _ = try await late.update(held, to: Self.record(1, nonce: 3, sequence: 2)) }
        #expect(try await whole.current() == other)
    }

    @Test func damageIsNamed() async throws {
        let store = try await makeMemoryStore()
        let election = try await StoreElection.open(store)
        _ = try await election.campaign(with: Self.record(1, nonce: 1), replacing: nil)
        let whole = try await store.get(StoreLayout.election, bytes: nil).bytes
        for place in stride(from: 0, to: whole.count, by: 7) {
            var bytes = whole
            bytes[place] ^= 1
            _ = try await store.put(StoreLayout.election, .bytes(bytes), when: .always)
            await expect(.corrupted) { _ = try await election.current() }
            await expect(.corrupted) {
                _ = try await election.campaign(with: Self.record(2, nonce: 2), replacing: nil)
            }
        }
        let later = String(decoding: whole, as: UTF8.self).replacing("\"format\":1", with: "\"format\":2")
        _ = try await store.put(StoreLayout.election, .bytes(Array(later.utf8)), when: .always)
        await expect(.corrupted) { _ = try await election.current() }
        try await store.delete([StoreLayout.election])
        // Removed by hand, while somebody knows that there was one.
        await expect(.corrupted) {
            _ = try await election.campaign(with: Self.record(2, nonce: 2), replacing: Self.record(1, nonce: 1))
        }
    }

    /// The bytes of docs/formats.md.
    @Test func theFormatStays() throws {
        var record = Self.record(7, nonce: 0x12_34)
        record.inSyncSet = ["a-1", "b-2"]
        let text = String(decoding: try ElectionObject(record).encoded(), as: UTF8.self)
        #expect(
            text.replacing(/"sum":"[0-9a-f]{64}"/, with: #""sum":"...""#)
                == #"{"address":"a:1","format":1,"inSync":["a-1","b-2"],"instance":"a-1","node":"a","#
                + #""nonce":"0000000000001234","resigned":false,"sequence":1,"storeComplete":true,"sum":"...","term":7}"#
        )
        #expect(try ElectionObject.decode(Array(text.utf8), name: "x") == record)
    }

    private func expect(_ code: ElectionError.Code, _ body: () async throws -> Void) async {
        let error = await #expect(throws: ElectionError.self) { try await body() }
        #expect(error?.code == code, "\(error as Any)")
    }
}

/// Loses one put, and has something else happen before anybody looks.
private actor InterruptedStore: ObjectStore {
    private let base: any ObjectStore
    private let interruption: @Sendable () async throws -> Void
    private var isArmed = false
    nonisolated let capabilities: ObjectStoreCapabilities

    init(_ base: any ObjectStore, _ interruption: @escaping @Sendable () async throws -> Void) {
        self.base = base
        self.interruption = interruption
        capabilities = base.capabilities
    }

    func arm() { isArmed = true }

    func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        guard isArmed else { return try await base.put(key, payload, when: condition) }
        isArmed = false
        do {
            try await interruption()
        } catch {
            Issue.record(error)
        }
        throw ObjectStoreError(.outcomeUnknown, "lost")
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
