// Goal: what a later version of t4 has written is never taken for damage: nothing stands in for it, nothing replaces it,
// nothing is deleted, and the error says which object it is and what to do. Method: two databases in a store with objects of
// every class, of which each in turn is as a later version would write it.
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

@Suite struct LaterFormatTests {
    private static let words = "written by a later version of t4"

    private func forEach(
        _ kind: DamageWorld.Kind, _ body: (DamagedStore, DamageWorld) async throws -> Void
    ) async throws {
        let world = try await DamageWorld(kind)
        let base = try await world.makeStore()
        for (number, key) in world.objects.keys.sorted().enumerated() {
            let change = Damage.Change.later(grows: number % 2 == 0)
            let store = try await DamagedStore(world, Damage(key: key, change: change), in: base)
            try await body(store, world)
            try await store.repair()
        }
    }

    @Test(arguments: DamageWorld.Kind.allCases) func restoresAndStartsAreRefused(_ kind: DamageWorld.Kind) async throws
    {
        try await forEach(kind) { store, _ in try await store.expectLaterIsRefused(Self.words) }
    }

    @Test(arguments: DamageWorld.Kind.allCases) func verificationsTellItFromDamage(_ kind: DamageWorld.Kind)
        async throws
    {
        try await forEach(kind) { store, _ in try await store.expectIsLater(Self.words) }
    }

    @Test(arguments: DamageWorld.Kind.allCases) func collectionsDeleteNothingElse(_ kind: DamageWorld.Kind) async throws
    {
        let world = try await DamageWorld(kind)
        let base = try await world.makeStore()
        let intact = try await DamagedStore(world, Damage(key: "db/database", change: .none), in: base)
        let left = try await intact.collected()
        try await forEach(kind) { store, _ in try await store.expectCollection(leaves: left) }
    }

    /// A node whose engine needs nothing of it makes no checkpoint from an older one either.
    @Test func theHeadIsNotReplaced() async throws {
        let base = try await makeMemoryStore()
        let test = try await StoreNode(.objectStore, on: base)
        try await test.start()
        try await test.put("a", "1")
        let first = try await test.node.checkpoint()
        try await test.put("a", "2")
        let second = try #require(try await test.node.checkpoint())
        #expect(first != second)
        let head = try await base.get("db/manifest/latest", bytes: nil).bytes
        for name in [second, "manifest/latest"] {
            let key = ObjectKey("db/" + name)
            let bytes = try await base.get(key, bytes: nil).bytes
            let later = LaterObject.of(bytes, grows: true)
            _ = try await base.put(key, .bytes(later), when: .always)
            try await test.put("b", name)
            let error = await #expect(throws: CheckpointError.self) { try await test.node.checkpoint() }
            #expect("\(error, default: "none")".contains(Self.words), "\(name)")
            #expect(try await base.get(key, bytes: nil).bytes == later)
            _ = try await base.put(key, .bytes(bytes), when: .always)
            #expect(try await base.get("db/manifest/latest", bytes: nil).bytes == head)
        }
        #expect(try await test.node.checkpoint() != nil)
        try await test.stop()
    }

    @Test func listsSayIt() async throws {
        let world = try await DamageWorld(.whole)
        let base = try await world.makeStore()
        func change(_ key: ObjectKey) async throws {
            _ = try await base.put(key, .bytes(LaterObject.of(world.objects[key]!, grows: true)), when: .always)
        }
        let own = PrefixedStore(base, prefix: "db/")
        try await change("db/manifest/latest")
        let listing = try await CheckpointListing(of: own)
        #expect("\(listing.problem, default: "none")".contains(Self.words) && !listing.entries.isEmpty)
        let status = await #expect(throws: CheckpointError.self) {
            try await onThread { _ = try StoreStatus(BlockingStore(own)) }
        }
        #expect("\(status, default: "none")".contains(Self.words))
        try await change(world.objects.keys.first { $0.rawValue.hasPrefix("db/branches/") }!)
        let branches = await #expect(throws: CheckpointError.self) {
            try await Branches(store: base, prefix: "db/").list()
        }
        #expect("\(branches, default: "none")".contains(Self.words))
    }
}
