import T4BuiltIns
import T4Protocols
import Testing

@testable import T4Core

/// A database under `db/` that branches begin in, and what it was like at some of its moments.
final class BranchWorld {
    struct Moment: Equatable {
        var content: [String]
        var revision: Revision
        var meta: MetaRow
        var leases: [LeaseRecord]
        /// Behind the last write, before the next one; nanoseconds since 1970.
        var time: UInt64
    }

    let base: any ObjectStore
    let parent: StoreNode
    /// At the first checkpoint, at the second one, in the log behind it, and at the end.
    private(set) var moments: [Moment] = []
    /// Of the first two moments.
    private(set) var checkpoints: [String] = []

    init(engine: String = "memory") async throws {
        base = try await makeMemoryStore()
        parent = try await StoreNode(.objectStore, engine: engine, on: base)
        try await parent.start()
        for round in 0..<4 {
            _ = try await parent.node.grantLease(id: Int64(round + 1), ttl: 1000)
            for number in 0..<20 { try await parent.put("key\(number % 12)", "\(round).\(number)") }
            try await parent.node.put(PutRequest(key: Array("leased\(round)"), value: [65], lease: Int64(round + 1)))
            _ = try await parent.node.deleteRange(DeleteRangeRequest(key: Array("key\(round)")))
            moments.append(try moment(parent))
            guard round < 2 else { continue }
            try await parent.node.checkpoint()
            checkpoints.append(try await status("db/").head!.checkpoint)
        }
    }

    func branches(of prefix: String = "db/") -> Branches { Branches(store: base, prefix: prefix) }

    /// A node of a branch, not started.
    func branch(
        _ prefix: String, at point: BranchPoint?, through store: (any ObjectStore)? = nil
    ) async throws -> StoreNode {
        let node = try await StoreNode(.objectStore, engine: parent.engine, on: base, through: store)
        node.settings.prefix = prefix
        node.settings.branch = point
        return node
    }

    func moment(_ test: StoreNode) throws -> Moment {
        let state = try test.node.read()
        return Moment(
            content: try test.all(), revision: test.node.revision, meta: state.meta, leases: try state.leases(),
            time: Clock.system.wall())
    }

    /// Checks that a node is at that moment.
    func expect(
        _ test: StoreNode, at moment: Moment, _ comment: Comment? = nil, _ place: SourceLocation = #_sourceLocation
    )
        throws
    {
        var found = try self.moment(test)
        found.time = moment.time
        #expect(found == moment, comment, sourceLocation: place)
    }

    /// Everything that the parent has been is written over, and only the newest checkpoint is kept.
    @discardableResult
    func collect(_ test: StoreNode) async throws -> CollectionReport {
        for number in 0..<12 { try await test.put("key\(number)", "over") }
        try await test.node.checkpoint()
        return try await GarbageCollection.run(
            in: PrefixedStore(base, prefix: test.settings.prefix), policy: CollectionPolicy(keep: 1, retain: .zero),
            logger: quietLogger)
    }

    func status(_ prefix: String) async throws -> StoreStatus {
        let store = PrefixedStore(base, prefix: prefix)
        return try await onThread { try StoreStatus(BlockingStore(store)) }
    }

    /// Everything that is wrong with a database, each of its states added up.
    func problems(_ prefix: String) async throws -> [String] {
        let base = base
        return try await onThread {
            let verifier = StoreVerifier(BlockingStore(PrefixedStore(base, prefix: prefix)), depth: .allStates) {
                BlockingStore(PrefixedStore(base, prefix: $0))
            }
            return try verifier.run().problems.map { "\($0.object): \($0.what)" }
        }
    }

    func stop(_ nodes: StoreNode...) async throws { for node in nodes + [parent] { try await node.stop() } }
}
