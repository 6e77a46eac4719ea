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

    /// A put whose answer was lost arrives, where its condition still holds.
    private func land(_ record: LeaderRecord, _ condition: PutCondition, in store: any ObjectStore) async throws {
        let bytes = try ElectionObject(record).encoded()
        do throws(ObjectStoreError) {
            _ = try await store.put(StoreLayout.election, .bytes(bytes), when: condition)
        } catch {
            #expect([.conditionFailed, .alreadyExists].contains(error.code), "\(error)")
        }
    }

    /// A campaign that lands after it was read back, and nothing of it was there.
    @Test func aLateCampaignIsFoundByTheSameCall() async throws {
        let store = try await makeMemoryStore()
        let faulty = FaultyStore(
            store, faults: [swapFault(.beforeEffect, .nth(1)), swapFault(.beforeEffect, .nth(2))])
        let election = try await StoreElection.open(faulty)
        let first = Self.record(1, nonce: 1)
        await expect(.outcomeUnknown) { _ = try await election.campaign(with: first, replacing: nil) }
        #expect(try await election.current() == nil)
        try await land(first, .absent, in: store)
        guard case .won(let held) = try await election.campaign(with: first, replacing: nil) else {
            return #expect(Bool(false), "not won")
        }
        let second = Self.record(1, nonce: 2, sequence: 2)
        await expect(.outcomeUnknown) { _ = try await election.update(held, to: second) }
        try await land(second, .unchanged(since: held.version), in: store)
        let renewed = try await election.update(held, to: second)
        try await election.resign(renewed)
        #expect(try await election.current()?.isResigned == true)
    }

    /// Somebody else's record settles what became of a swap: it cannot land any more.
    @Test func anotherRecordSettlesIt() async throws {
        let store = try await makeMemoryStore()
        let whole = try await StoreElection.open(store)
        let first = Self.record(1, nonce: 1)
        guard case .won(let held) = try await whole.campaign(with: first, replacing: nil) else {
            return #expect(Bool(false), "not won")
        }
        let faulty = FaultyStore(
            store, faults: [swapFault(.beforeEffect, .nth(1)), swapFault(.beforeEffect, .nth(2))])
        let late = try await StoreElection.open(faulty)
        let rival = Self.record(2, nonce: 3)
        await expect(.outcomeUnknown) { _ = try await late.campaign(with: rival, replacing: first) }
        let renewal = Self.record(1, nonce: 4, sequence: 2)
        await expect(.outcomeUnknown) { _ = try await late.update(held, to: renewal) }
        let other = Self.record(2, nonce: 2)
        _ = try await whole.campaign(with: other, replacing: first)
        for record in [rival, renewal] { try await land(record, .unchanged(since: held.version), in: store) }
        #expect(try await whole.current() == other)
        let again = try await late.campaign(with: rival, replacing: first)
        #expect(again == .lost(to: other))
        await expect(.fenced) { _ = try await late.update(held, to: renewal) }
    }

    @Test func databasesInOneStoreHaveAnElectionEach() async throws {
        let store = try await makeMemoryStore()
        for prefix in ["a", "b"] {
            let election = try await StoreElection.open(PrefixedStore(store, prefix: prefix))
            guard case .won = try await election.campaign(with: Self.record(1, nonce: 1), replacing: nil) else {
                return #expect(Bool(false), "\(prefix): not won")
            }
        }
    }

    /// Who may not write is not unsure of it.
    @Test func refusalsAreSure() async throws {
        for code in [ObjectStoreError.Code.permissionDenied, .noSpace, .closed, .unavailable] {
            let fault = StoreFault(.put, prefix: "leader-lock", .beforeEffect, .from(1), error: code)
            let election = try await pair(fault).faulty
            await expect(.unavailable) {
                _ = try await election.campaign(with: Self.record(1, nonce: 1), replacing: nil)
            }
        }
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
        // As a later version would write it, sealed.
        let later = String(decoding: whole, as: UTF8.self).replacing("\"format\":1", with: "\"format\":2")
        let unsealed = Array(later.replacing(/"sum":"[0-9a-f]{64}"/, with: #""sum":"""#).utf8)
        let sum = SHA256.digest(of: unsealed.span.bytes).hex
        let sealed = later.replacing(/"sum":"[0-9a-f]{64}"/, with: #""sum":"\#(sum)""#)
        _ = try await store.put(StoreLayout.election, .bytes(Array(sealed.utf8)), when: .always)
        await expect(.unsupported) { _ = try await election.current() }
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
        #expect(try ElectionObject.record(Array(text.utf8), key: "x") == record)
    }

    private func expect(_ code: ElectionError.Code, _ body: () async throws -> Void) async {
        let error = await #expect(throws: ElectionError.self) { try await body() }
        #expect(error?.code == code, "\(error as Any)")
    }
}
