import EtcdAPI
import Foundation
import RPC
import T4Conformance
import Testing

/// Goal: Kubernetes' API server finds in t4 what it finds in etcd. Method: the life of a small cluster of its objects,
/// with several writers that get in each other's way and a watch cache beside them, on t4 and on etcd. Who is faster
/// differs each time; what must be there in the end does not, and is compared. Each request for itself, field by field:
/// `Differential/Scripts/every-engine/kubernetes.steps`.
struct KubernetesTests {
    @Test(arguments: DifferentialTests.engines)
    func theLifeOfObjects(_ engine: String) async throws {
        guard try await TestEnvironment.engines().contains(engine) else { return }
        try await Slots.servers.use {
            async let wanted = Self.objects(on: .etcd)
            async let got = Self.objects(on: .t4(engine: engine))
            let (etcd, t4) = try await (wanted, got)
            #expect(etcd == t4)
            #expect(t4.count == ClusterLife.objectCount)
        }
    }

    /// Runs the life and checks the server for itself.
    /// - Returns: The objects that there are in the end, without what depends on who was faster.
    private static func objects(on kind: ServerUnderTest.Kind) async throws -> [String] {
        try await withTemporaryDirectory { folder in
            let server = try await ServerUnderTest.start(kind, dataDirectory: folder.appending(path: "data"))
            do {
                let objects = try await ClusterLife(server).run()
                try await expectVersion(server)
                await server.crash()
                return objects.map { object in
                    "\(String(decoding: object.key, as: UTF8.self)) = \(String(decoding: object.value, as: UTF8.self)), "
                        + "version \(object.version)\(object.lease == 0 ? "" : ", on a lease")"
                }
            } catch {
                await server.crash()
                throw error
            }
        }
    }

    /// Requests for progress are made only of servers whose version has them right, and the size is shown.
    private static func expectVersion(_ server: ServerUnderTest) async throws {
        let client = try await EtcdClient.connect(to: server)
        let status = try await client.call("Maintenance/Status", EtcdStatusRequest(), EtcdStatusResponse.self)
        await client.close()
        let numbers = status.version.split(separator: ".").map { Int($0) }
        try #require(numbers.count == 3 && !numbers.contains(nil), "\(status.version)")
        if server.kind != .etcd {
            let isGood = numbers.compactMap { $0 }.lexicographicallyPrecedes([3, 5, 13]) == false
            #expect(isGood, "\(status.version)")
        }
        #expect(status.dbSizeInUse > 0 && status.dbSize >= status.dbSizeInUse, "\(status)")
    }
}

/// What happens in a small cluster.
private struct ClusterLife {
    private static let writers = 4
    private static let rounds = 20
    private static let counters = 3
    private static let deletedEvery = 4
    /// The counters, what all want and one gets, what each has for itself and has not deleted, and the events of those
    /// whose lease is still there.
    static let objectCount =
        counters + rounds + writers * (rounds - rounds / deletedEvery) + (writers - 1) * rounds

    private let server: ServerUnderTest

    init(_ server: ServerUnderTest) {
        self.server = server
    }

    /// etcd 3.5.1 tells of progress before it has told of all changes that it counts, so that nothing can be read by it.
    private var tellsProgressInTime: Bool { server.kind != .etcd }

    /// - Returns: All objects in the end.
    func run() async throws -> [EtcdKeyValue] {
        let rpc = try await RPCClient.connect(host: "127.0.0.1", port: server.port)
        let reader = ObjectStorage(client: try await EtcdClient.connect(to: server))
        let (cache, call) = try await WatchCache.open("/registry/", reader, on: rpc)

        let work = try await withThrowingTaskGroup(of: (Int, Work).self, returning: [Int: Work].self) { group in
            for writer in 0..<Self.writers { group.addTask { (writer, try await write(as: writer)) } }
            if tellsProgressInTime { try await readConsistently(reader, cache, call) }
            return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
        // Each began with counters that it thought were not there, and only one was right.
        #expect(work.values.reduce(0) { $0 + $1.conflicts } >= Self.counters * (Self.writers - 1), "\(server.kind)")
        #expect(work.values.reduce(0) { $0 + $1.first } == Self.rounds, "\(server.kind): each once")

        try await reader.revokeLease(work[0]?.lease ?? 0)
        let revoked = try await reader.currentRevision()
        // What is told behind a compaction may lack the versions from before: API servers compact what is minutes old.
        try await cache.untilChanged(at: revoked)
        try await compactByAll(to: revoked, reader)

        let (objects, revision) = try await reader.list("/registry/", pageSize: 7)
        if tellsProgressInTime { try await cache.reach(revision, call) }
        let seen = cache.content.value
        #expect(seen.faults.isEmpty, "\(server.kind): \(seen.faults)")
        #expect(seen.earlyProgress.isEmpty || !tellsProgressInTime)
        #expect(WatchCache.inOrder(seen.objects) == objects, "\(server.kind): the cache is not the list")
        let events = seen.deletions[revoked] ?? []
        #expect(events.count == Self.rounds, "\(server.kind): the events of a lease")
        #expect(zip(events, events.dropFirst()).allSatisfy { $0.lexicographicallyPrecedes($1) }, "\(server.kind)")
        call.cancel()
        await rpc.close()
        await reader.client.close()
        return objects
    }

    private struct Work: Sendable {
        var lease: Int64 = 0
        /// Writes that others were faster with.
        var conflicts = 0
        /// Objects wanted by all that this one has created.
        var first = 0
    }

    /// One client that changes things.
    private func write(as writer: Int) async throws -> Work {
        let storage = ObjectStorage(client: try await EtcdClient.connect(to: server))
        var work = Work(lease: try await storage.grantLease(seconds: 3660))
        var counters = [EtcdKeyValue?](repeating: nil, count: Self.counters)
        for round in 0..<Self.rounds {
            let own = "/registry/pods/default/\(writer)-\(round)"
            #expect(try await storage.create(own, "pending"))
            let created = try await storage.get(own)
            #expect(try await storage.update(own, from: created) { _ in "running" } == 0)
            #expect(try await storage.create("/registry/events/\(writer)-\(round)", "started", lease: work.lease))
            if try await storage.create("/registry/leases/\(round)", "held") { work.first += 1 }
            let counter = "/registry/counters/\(round % Self.counters)"
            // Begins with what it saw a while ago, if anything.
            work.conflicts += try await storage.update(counter, from: counters[round % Self.counters]) { value in
                "\((value.flatMap { Int($0) } ?? 0) + 1)"
            }
            counters[round % Self.counters] = try await storage.get(counter)
            if round % Self.deletedEvery == 0 {
                // The state of before the update is not the newest one, and the answer says which is.
                #expect(try await storage.delete(own, from: created) == 1)
                #expect(try await storage.create(own, "again"))
                let again = try await storage.get(own)
                #expect(again?.version == 1)
                #expect(try await storage.delete(own, from: again) == 0)
            }
        }
        await storage.client.close()
        return work
    }

    /// Lists from the cache, as up to date as from the server, while others write.
    private func readConsistently(_ reader: ObjectStorage, _ cache: WatchCache, _ call: ClientCall) async throws {
        for pageSize in [3, 50, 1000] as [Int64] {
            let revision = try await reader.currentRevision()
            try await cache.reach(revision, call)
            let listed = try await reader.list("/registry/", pageSize: pageSize, at: revision)
            #expect(listed.objects == cache.content.value.objects(at: revision), "at revision \(revision)")
        }
    }

    /// All API servers want to compact: one does, and what is below is gone.
    private func compactByAll(to revision: Int64, _ reader: ObjectStorage) async throws {
        let first = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<Self.writers { group.addTask { try await reader.compact(to: revision, version: 0) } }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(first == 1, "\(server.kind): one compacts")
        let wanted = RPCStatus(.outOfRange, "etcdserver: mvcc: required revision has been compacted")
        await #expect(throws: wanted) { try await reader.list("/registry/", pageSize: 7, at: revision - 1) }
        let log = try reader.client.watch(from: revision - 1)
        let gone = try await log.content.wait(for: "the end of a watch of the past") { content in
            content.compactRevision != 0 ? content.compactRevision : nil
        }
        #expect(gone == revision, "\(server.kind)")
    }
}
