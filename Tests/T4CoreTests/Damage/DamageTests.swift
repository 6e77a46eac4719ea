// Goal: any byte of any object that changes, and any object that is cut off or lost, is detected and named; where an older
// checkpoint and the log can still serve they do; and nothing ever leads to a wrong state. Method: two databases in a store
// with objects of every class, of which each in turn is damaged.
import Foundation
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

@Suite struct DamageTests {
    /// Names of objects as `docs/formats.md` lists them, but for those of probes and of elections: no node reads them.
    private static func documentedNames() throws -> [String] {
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../../docs/formats.md").standardizedFileURL
        let text = try String(contentsOf: file, encoding: .utf8)
        let section = try #require(text.components(separatedBy: "\n## Object store\n").dropFirst().first)
        let rows = section.components(separatedBy: "\n### ")[0].split(separator: "\n").filter { $0.hasPrefix("| `") }
        let names = rows.flatMap { row in
            row.split(separator: "|")[0].split(separator: "`").map(String.init).filter { $0.contains(/[a-zA-Z]/) }
        }
        return names.filter { !$0.hasPrefix("probe/") && $0 != StoreLayout.election.rawValue }
    }

    /// What the other tests look at is only worth something if no class of objects is missing.
    @Test func everyClassHasAnObject() async throws {
        let worlds = [try await DamageWorld(.whole), try await DamageWorld(.collected)]
        let names = worlds.flatMap { $0.objects.keys.map(\.rawValue) }
        let documented = try Self.documentedNames()
        #expect(documented.count == 10)
        for name in documented + ["checkpoint/TERM/REVISION/manifest-INDEX.json"] {
            let pattern = try Regex("^(db|branch)/" + name.replacing(/[A-Z]+/, with: "[^/]+") + "$")
            #expect(names.contains { $0.contains(pattern) }, "no object \(name)")
        }
        for world in worlds {
            let store = try await world.makeStore()
            for prefix in DamageWorld.prefixes {
                let unknown = try await onThread {
                    var listing = StoreListing()
                    try listing.add(of: BlockingStore(PrefixedStore(store, prefix: prefix)))
                    return listing.unknown.map(\.key)
                }
                #expect(unknown.isEmpty)
            }
            let sizes = world.databases["db/"]!.logSizes
            #expect(sizes.contains(1) && sizes.contains { $0 > 1 }, "no single object of the log, or no joined one")
        }
    }

    // MARK: - Which damage

    /// Objects of which every byte is looked at: the first of each class.
    private static func examples(_ world: DamageWorld) -> Set<ObjectKey> {
        var seen: Set<String> = []
        let classes = world.objects.keys.sorted().filter { key in
            seen.insert(key.rawValue.split(separator: "/").prefix(2).joined(separator: "/")).inserted
        }
        // In the other world there is nothing else of a class that is not in the first.
        return Set(classes.filter { world.kind == .whole || $0.rawValue.hasPrefix("db/gc/") })
    }

    /// Bytes whose value says how the others are to be read.
    private static func versions(_ bytes: [UInt8]) -> [Int] {
        if bytes.first == UInt8(ascii: "{") {
            let mark = Array(#""format":"#.utf8)
            return bytes.indices.filter { bytes[$0...].starts(with: mark) }.map { $0 + mark.count }
        }
        return [8, bytes.count - 16]
    }

    /// - Parameters:
    ///   - count: Bytes of each object, or more.
    ///   - exampleCount: Of one object of each class.
    private static func flips(_ world: DamageWorld, _ count: Int, exampleCount: Int) -> [Damage] {
        let examples = examples(world)
        return world.objects.sorted { $0.key < $1.key }.flatMap { key, bytes -> [Damage] in
            let most = SlowTests.areAllowed ? Int.max : examples.contains(key) ? exampleCount : count
            let step = max(1, bytes.count / most)
            let offsets = Set(stride(from: 0, to: bytes.count, by: step) + [bytes.count - 1])
            return offsets.sorted().map { offset in
                Damage(key: key, change: .flip(offset: offset, mask: 1 << UInt8((offset * 5 + 1) % 8)))
            }
        }
    }

    /// Every bit of a few bytes of each class.
    private static func bits(_ world: DamageWorld, at places: ([UInt8]) -> [Int]) -> [Damage] {
        examples(world).sorted().flatMap { key -> [Damage] in
            Set(places(world.objects[key]!)).sorted().flatMap { offset in
                (0..<8).map { Damage(key: key, change: .flip(offset: offset, mask: 1 << $0)) }
            }
        }
    }

    private static func cuts(_ world: DamageWorld) -> [Damage] {
        world.objects.sorted { $0.key < $1.key }.flatMap { key, bytes -> [Damage] in
            let lengths =
                SlowTests.areAllowed
                ? Set(bytes.indices) : [0, 1, 72, bytes.count / 2, bytes.count - 104, bytes.count - 1]
            return lengths.filter { bytes.indices.contains($0) }.sorted().map { Damage(key: key, change: .cut($0)) }
        }
    }

    private static func losses(_ world: DamageWorld) -> [Damage] {
        world.objects.keys.sorted().map { Damage(key: $0, change: .loss) }
    }

    // MARK: - What follows

    private func check(
        _ damages: [Damage], of world: DamageWorld, _ body: (DamagedStore) async throws -> Void
    ) async throws {
        let base = try await world.makeStore()
        for damage in damages {
            let damaged = try await DamagedStore(world, damage, in: base)
            try await body(damaged)
            try await damaged.repair()
        }
    }

    @Test(arguments: DamageWorld.Kind.allCases) func damageIsFoundAndNamed(_ kind: DamageWorld.Kind) async throws {
        let world = try await DamageWorld(kind)
        let bits = Self.bits(world) { Self.versions($0) + [0, $0.count / 3, $0.count - 1] }
        try await check(Self.flips(world, 8, exampleCount: 400) + bits + Self.cuts(world), of: world) {
            try await $0.expectIsFound()
        }
        // What nobody can miss: pins, where collections stand, what nobody needs, the last objects of the log, and the first
        // one where a checkpoint ends with it: a log may begin behind the first checkpoint.
        let missed = Self.losses(world).filter { damage in
            ["/gc/", "/branches/", "/backups/", "/readers/", "/wal/00000000000000000001"].allSatisfy {
                !damage.key.rawValue.contains($0)
            }
                && world.databases.values.allSatisfy { objects in
                    !objects.garbage.contains(damage.key) && objects.revision(without: damage.key) == nil
                }
        }
        try await check(missed, of: world) { try await $0.expectIsFound() }
    }

    @Test(arguments: DamageWorld.Kind.allCases) func restoresAreRightOrRefused(_ kind: DamageWorld.Kind) async throws {
        let world = try await DamageWorld(kind)
        let damages = Self.flips(world, 4, exampleCount: 24) + Self.bits(world, at: Self.versions) + Self.cuts(world)
        try await check(damages + Self.losses(world), of: world) { try await $0.expectRestores() }
    }

    @Test(arguments: DamageWorld.Kind.allCases) func startsAreRightOrRefused(_ kind: DamageWorld.Kind) async throws {
        let world = try await DamageWorld(kind)
        let versions = Self.bits(world, at: Self.versions).filter { damage in
            if case .flip(_, let mask) = damage.change { mask == 2 } else { false }
        }
        try await check(Self.flips(world, 1, exampleCount: 2) + versions + Self.losses(world), of: world) {
            try await $0.expectStarts()
        }
    }

    @Test(arguments: DamageWorld.Kind.allCases) func collectionsDeleteNothingElse(_ kind: DamageWorld.Kind) async throws
    {
        let world = try await DamageWorld(kind)
        let base = try await world.makeStore()
        let intact = try await DamagedStore(world, Damage(key: "db/database", change: .none), in: base)
        let left = try await intact.collected()
        #expect(left.count < world.objects.count)
        // Without a pin more may go. A collection that was never heard of is begun anew, and gives up at the gap in the log.
        let losses = Self.losses(world).filter { damage in
            ["/gc/", "/branches/", "/backups/", "/readers/"].allSatisfy { !damage.key.rawValue.contains($0) }
        }
        try await check(Self.flips(world, 4, exampleCount: 16) + Self.cuts(world) + losses, of: world) {
            try await $0.expectCollection(leaves: left)
        }
    }

    /// Goal: what stood in for a damaged checkpoint is replaced by the next one, and then the damage does no harm any more.
    /// Method: a node starts in an empty directory and makes a checkpoint; a collection removes what is left of the damage.
    @Test(arguments: ["manifest/latest", "checkpoint/"]) func theNextCheckpointMends(_ name: String) async throws {
        let world = try await DamageWorld(.whole)
        let base = try await world.makeStore()
        let newest = try await onThread {
            let store = BlockingStore(PrefixedStore(base, prefix: "db/"))
            // They would keep the damaged checkpoint.
            try store.delete(["backups/k", "readers/r"])
            return try Head.decode(store.get(StoreLayout.head).bytes, key: StoreLayout.head).checkpoint
        }
        let key = ObjectKey("db/" + (name == "checkpoint/" ? newest : name))
        _ = try await DamagedStore(world, Damage(key: key, change: .flip(offset: 20, mask: 1)), in: base)
        let test = try await StoreNode(.objectStore, on: base)
        try await test.start()
        try await test.put("behind", "1")
        try await test.node.checkpoint()
        try await test.stop()
        let report = try await onThread {
            let store = BlockingStore(PrefixedStore(base, prefix: "db/"))
            let head = try Head.decode(store.get(StoreLayout.head).bytes, key: StoreLayout.head)
            #expect(head.checkpoint != newest)
            let policy = CollectionPolicy(keep: 1, retain: .zero)
            let checkpoints = CheckpointStore(store, databaseID: try DatabaseObject.require(store).id)
            _ = try Collector(checkpoints, policy: policy, clock: .system, logger: .silent).collect()
            return try StoreVerifier(store, depth: .allStates) { BlockingStore(PrefixedStore(base, prefix: $0)) }.run()
        }
        #expect(report.isClean, "\(report.text)")
    }
}
