import T4BuiltIns
import T4Protocols
import Testing

@testable import T4Core

/// What a node makes of a restored directory.
@Suite(.enabled(if: !RestoreFolder.enginesOnDisk.isEmpty, "nothing can be restored into memory"))
struct RestoredNodeTests {
    /// A node in the folder's directory, under a prefix of its store or without one.
    private func start(_ folder: RestoreFolder, prefix: String?) async throws -> Node {
        var configuration = NodeConfiguration(dataDirectory: folder.data, engine: RestoreFolder.engine)
        if let prefix {
            configuration.store = NodeStore(.opened(folder.base), prefix: prefix)
            configuration.store?.checkpoints.interval = nil
        }
        return try await Node.start(configuration, registry: .builtIn, logger: quietLogger)
    }

    private func keys(_ node: Node) throws -> [[UInt8]: [UInt8]] {
        let kvs = try node.range(RangeRequest(key: [0], rangeEnd: [0])).kvs
        return Dictionary(uniqueKeysWithValues: kvs.map { ($0.key, $0.value) })
    }

    private func restore(_ folder: RestoreFolder, _ point: RestorePoint) async throws -> [RestoreHistory.State] {
        try await onThread {
            let states = try folder.makeDatabase().history.states
            try folder.restore(point)
            return states
        }
    }

    @Test(arguments: [nil, "fresh/"] as [String?]) func aCutGoesOnFromThere(_ prefix: String?) async throws {
        let folder = try await RestoreFolder()
        let states = try await restore(folder, folder.point(.revision(Revision(70))))
        let state = try #require(states.first { $0.revision == Revision(70) })
        for round in 0..<2 {
            let node = try await start(folder, prefix: prefix)
            if round == 0 {
                #expect(node.revision == Revision(70) && node.compactedRevision == state.compacted)
                #expect(try keys(node) == state.current.mapValues(\.value))
                #expect(try Set(node.read().leases().map(\.id)) == Set(state.leases.keys))
                #expect(node.term > state.position.term)
                // So that writes are let in again.
                for alarm in state.alarms { _ = try await node.disarm(alarm) }
            }
            _ = try await node.put(PutRequest(key: [1], value: [UInt8(round)]))
            #expect(node.revision == Revision(71 + Int64(round)))
            try await node.stop()
        }
        // The prefix that it comes from is another database's.
        await #expect(throws: (any Error).self) { try await start(folder, prefix: "db/") }
    }

    @Test func aCheckpointOnItsPrefixGoesOnToTheEnd() async throws {
        let folder = try await RestoreFolder()
        let states = try await restore(folder, folder.point(.latestCheckpoint))
        let last = try #require(states.last)
        let node = try await start(folder, prefix: "db/")
        #expect(node.revision == last.revision)
        #expect(try keys(node) == last.current.mapValues(\.value))
        try await node.stop()
    }

    @Test func aCheckpointElsewhereIsRollback() async throws {
        let folder = try await RestoreFolder()
        let states = try await restore(folder, folder.point(.latestCheckpoint))
        let plan = try await folder.point(.latestCheckpoint).plan()
        let node = try await start(folder, prefix: "elsewhere/")
        #expect(node.revision == plan.revision)
        #expect(try keys(node) == states[Int(plan.end.index)].current.mapValues(\.value))
        try await node.stop()
        let identity = try #require(try DataDirectory.readIdentity(folder.data))
        #expect(identity.database != LogFixture.databaseID)
        #expect(identity.lineage?.database == "\(LogFixture.databaseID)")
    }

    @Test func clientsOfTheDatabaseBeforeSeeACompaction() async throws {
        let folder = try await RestoreFolder()
        let states = try await restore(folder, folder.point(.revision(Revision(70)), bumpsRevision: true))
        let state = try #require(states.first { $0.revision == Revision(70) })
        let last = try #require(states.last).revision
        let node = try await start(folder, prefix: "fresh/")
        #expect(node.revision > last && node.compactedRevision == node.revision)
        #expect(try keys(node) == state.current.mapValues(\.value))
        // A watch of a client that has seen everything begins behind the last revision.
        for old in [70, 71, last.rawValue, last.rawValue + 1] {
            let error = #expect(throws: DatabaseError.self) {
                try node.range(RangeRequest(key: [0], rangeEnd: [0], revision: old))
            }
            #expect(error?.code == .compacted)
        }
        try await node.stop()
    }
}
