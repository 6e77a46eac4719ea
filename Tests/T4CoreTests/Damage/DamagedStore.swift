import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// What becomes of an object.
struct Damage: Sendable, CustomStringConvertible {
    enum Change: Sendable {
        case none
        case flip(offset: Int, mask: UInt8)
        case cut(Int)
        case loss
        /// As a later version writes it.
        case later(grows: Bool)
    }

    var key: ObjectKey
    var change: Change

    var description: String { "\(key), \(change)" }
    var isLoss: Bool { if case .loss = change { true } else { false } }

    func apply(to bytes: [UInt8]) -> [UInt8]? {
        var bytes = bytes
        switch change {
        case .none: break
        case .flip(let offset, let mask): bytes[offset] ^= mask
        case .cut(let count): bytes.removeSubrange(count...)
        case .loss: return nil
        case .later(let grows): return LaterObject.of(bytes, grows: grows)
        }
        return bytes
    }
}

/// A store with the objects of a world, of which one is damaged, and what everybody has to make of it.
struct DamagedStore: Sendable {
    let world: DamageWorld
    let damage: Damage
    private let base: any ObjectStore

    /// - Parameter base: Holds the objects of the world.
    init(_ world: DamageWorld, _ damage: Damage, in base: any ObjectStore) async throws {
        self.world = world
        self.damage = damage
        self.base = base
        if let bytes = damage.apply(to: world.objects[damage.key]!) {
            _ = try await base.put(damage.key, .bytes(bytes), when: .always)
        } else {
            try await base.delete([damage.key])
        }
    }

    /// Puts the object back.
    func repair() async throws {
        _ = try await base.put(damage.key, .bytes(world.objects[damage.key]!), when: .always)
    }

    /// The prefix of the damaged object.
    private var prefix: String { DamageWorld.prefixes.first { damage.key.rawValue.hasPrefix($0) }! }
    /// Its name below that.
    private var name: String { String(damage.key.rawValue.dropFirst(prefix.count)) }
    private var objects: StoredObjects { world.databases[prefix]! }

    // MARK: - Verification

    /// A verification names the object.
    func expectIsFound() async throws {
        let report = try await onThread { [base, prefix] in
            try StoreVerifier(BlockingStore(PrefixedStore(base, prefix: prefix)), depth: .objects) {
                BlockingStore(PrefixedStore(base, prefix: $0))
            }.run()
        }
        let isGarbage = objects.garbage.contains(damage.key)
        let named = (isGarbage ? report.problems + report.notes : report.problems).map(\.object)
        #expect(named.contains(name), "\(damage): \(report.text)")
    }

    /// A verification names the object, and says that it is not damaged.
    func expectIsLater(_ words: String) async throws {
        let report = try await onThread { [base, prefix] in
            try StoreVerifier(BlockingStore(PrefixedStore(base, prefix: prefix)), depth: .allStates) {
                BlockingStore(PrefixedStore(base, prefix: $0))
            }.run()
        }
        #expect(report.problems.isEmpty, "\(damage): \(report.text)")
        // A table that nobody uses is not read.
        let isRead = !name.hasPrefix(StoreLayout.tables.rawValue) || !objects.garbage.contains(damage.key)
        #expect(report.isClean != isRead && report.text.contains(words) == isRead, "\(damage): \(report.text)")
    }

    // MARK: - Restores and starts

    /// Checks that a state is right, and that there is one wherever that is possible; or that the error names the object.
    private func expect(
        _ result: Result<DamageWorld.State, any Error>, _ right: DamageWorld.State, from prefix: String,
        to index: UInt64
    ) {
        let objects = world.databases[prefix]!
        switch result {
        case .success(let state):
            // What was uploaded last, and is gone without a trace, nobody can miss.
            if damage.isLoss, let revision = objects.revision(without: damage.key, at: index) {
                #expect(state.revision == revision, "\(damage): \(prefix)")
            } else {
                #expect(state == right, "\(damage): \(prefix) is in a wrong state")
            }
        case .failure(let error):
            #expect(!objects.lead(to: index, without: damage.key), "\(damage): \(prefix) is not served: \(error)")
            #expect("\(error)".contains(name), "\(damage): \(prefix): the object is not named: \(error)")
        }
    }

    /// Restores to the end, and to a revision before the newest checkpoint.
    func expectRestores() async throws {
        for prefix in DamageWorld.prefixes {
            let objects = world.databases[prefix]!
            expect(try await restored(prefix, .end), world.ends[prefix]!, from: prefix, to: objects.end)
        }
        let revision = world.middle.revision
        expect(
            try await restored("db/", .revision(revision)), world.middle, from: "db/",
            to: world.databases["db/"]!.revisions[revision]!)
    }

    /// Nothing stands in for an object that a restore or a start has to read.
    /// - Parameter words: What is said of such an object.
    func expectLaterIsRefused(_ words: String) async throws {
        for prefix in DamageWorld.prefixes {
            let restored = try await restored(prefix, .end)
            expectRefusal(restored, words, from: prefix)
            expectRefusal(try await started(prefix), words, from: prefix)
        }
    }

    private func expectRefusal(
        _ result: Result<DamageWorld.State, any Error>, _ words: String, from prefix: String
    ) {
        switch result {
        case .success(let state):
            #expect(!world.databases[prefix]!.needed.contains(damage.key), "\(damage): \(prefix): something stood in")
            #expect(state == world.ends[prefix]!, "\(damage): \(prefix) is in a wrong state")
        case .failure(let error):
            let text = "\(error)"
            #expect(text.contains(name) && text.contains(words), "\(damage): \(prefix): \(text)")
        }
    }

    private func restored(
        _ prefix: String, _ target: RestorePoint.Target
    ) async throws -> Result<DamageWorld.State, any Error> {
        try await onThread { [base] in
            Result {
                let own = BlockingStore(PrefixedStore(base, prefix: prefix))
                let database = try DatabaseObject.decode(own.get(StoreLayout.database).bytes)
                let restorer = Restorer(own, databaseID: database.id) { BlockingStore(PrefixedStore(base, prefix: $0)) }
                return try restorer.restore(to: target) { course in
                    let engine = try CheckpointHistory.makeEngine()
                    _ = try restorer.fill(engine, course)
                    return try DamageWorld.State(engine.snapshot())
                }
            }
        }
    }

    /// Starts a node of each database in an empty directory.
    func expectStarts() async throws {
        for prefix in DamageWorld.prefixes {
            expect(
                try await started(prefix), world.ends[prefix]!, from: prefix, to: world.databases[prefix]!.end)
        }
    }

    private func started(_ prefix: String) async throws -> Result<DamageWorld.State, any Error> {
        let test = try await StoreNode(.objectStore, on: try await copied())
        test.settings.prefix = prefix
        do {
            try await test.start()
            let state = try DamageWorld.State(test.node.read().snapshot)
            try await test.stop()
            return .success(state)
        } catch {
            return .failure(error)
        }
    }

    private func copied() async throws -> any ObjectStore {
        let copy = try await makeMemoryStore()
        try await onThread { [base] in
            let (from, to) = (BlockingStore(base), BlockingStore(copy))
            try from.list("") { _ = try to.put($0.key, from.get($0.key).bytes, when: .absent) }
        }
        return copy
    }

    // MARK: - Collections

    /// A collection deletes what it does where nothing is damaged, or nothing at all.
    /// - Parameter left: What it leaves where nothing is damaged.
    func expectCollection(leaves left: Set<ObjectKey>) async throws {
        let copy = DamagedStore(world: world, damage: damage, base: try await copied())
        let before = try await copy.names()
        do {
            _ = try await onThread { try DamageWorld.collector(copy.base).collect() }
        } catch {
            #expect("\(error)".contains(name), "\(damage): the object is not named: \(error)")
            let lost = before.subtracting(try await copy.names())
            #expect(lost.isEmpty, "\(damage): deleted before it was given up")
            return
        }
        let deleted = left.intersection(before).subtracting(try await copy.names())
        #expect(deleted.isEmpty, "\(damage): deleted although needed")
    }

    private init(world: DamageWorld, damage: Damage, base: any ObjectStore) {
        (self.world, self.damage, self.base) = (world, damage, base)
    }

    /// What a collection leaves.
    func collected() async throws -> Set<ObjectKey> {
        let copy = DamagedStore(world: world, damage: damage, base: try await copied())
        _ = try await onThread { try DamageWorld.collector(copy.base).collect() }
        return try await copy.names()
    }

    /// All objects but those that collections write.
    private func names() async throws -> Set<ObjectKey> {
        try await onThread { [base] in
            var names: Set<ObjectKey> = []
            try BlockingStore(base).list("") { if !$0.key.rawValue.hasPrefix("db/gc/") { names.insert($0.key) } }
            return names
        }
    }
}
