import Foundation
import Logging
import Synchronization
import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: whole nodes of a cluster serve, hand over, make checkpoints, and come back from nothing. Method: nodes on every engine
/// in one process, a store in memory.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ClusterNodeTests {
    @Test(arguments: ["memory", "lmdb"])
    func nodesComeAndGo(_ engine: String) async throws {
        let nodes = try await ClusterNodes(engine: engine)
        do {
            try await comeAndGo(nodes)
        } catch {
            try await nodes.stopAll()
            throw error
        }
        try await nodes.stopAll()
    }

    /// A node whose clock is behind goes on from a checkpoint alone: nobody takes entries that are older than those before.
    @Test func aClockIsBehind() async throws {
        let nodes = try await ClusterNodes(engine: "memory")
        do {
            let ahead = Clock { Clock.system.wall() + 3_600_000_000_000 }
            let first = try await nodes.start(1, clock: ahead)
            try await nodes.write("a", "1")
            _ = try await first.checkpoint()
            try await nodes.stop(1)
            let second = try await nodes.start(2)
            try await nodes.write("a", "2")
            try await nodes.start(1, clock: ahead)
            let rows = try await nodes.agree()
            #expect(rows.count == 2 && rows[0] == rows[1])
            #expect(second.revision >= Revision(4))
        } catch {
            try await nodes.stopAll()
            throw error
        }
        try await nodes.stopAll()
    }

    /// What checkpoints cover goes from the logs of all nodes.
    @Test(arguments: ["memory", "lmdb"])
    func followersShortenTheirLogs(_ engine: String) async throws {
        let nodes = try await ClusterNodes(engine: engine)
        do {
            for number in 1...3 { try await nodes.start(number) }
            let value = String(repeating: "v", count: 2000)
            for count in 0..<400 { try await nodes.write("key-\(count % 7)", value + "\(count)") }
            func segments(_ number: Int) throws -> Int {
                try FileManager.default.contentsOfDirectory(
                    atPath: nodes.folder.appending(path: "\(number)/wal").path
                ).count { $0.hasSuffix(".wal") }
            }
            for number in 1...3 {
                while try segments(number) > 4 {
                    try await nodes.write("more", value)
                    try #require(nodes.failures.withLock { $0 } == [])
                }
            }
            let rows = try await nodes.agree()
            #expect(rows.allSatisfy { $0 == rows[0] })
            // It starts with what is left.
            try await nodes.stop(2)
            try await nodes.start(2)
            let again = try await nodes.agree()
            #expect(again.allSatisfy { $0 == again[0] })
        } catch {
            try await nodes.stopAll()
            throw error
        }
        try await nodes.stopAll()
    }

    /// The newest checkpoint cannot be read: the one before it and the log behind that have everything.
    @Test func aDamagedCheckpointGivesWayInACluster() async throws {
        let nodes = try await ClusterNodes(engine: "lmdb")
        do {
            let first = try await nodes.start(1)
            for count in 0..<30 { try await nodes.write("first-\(count)", "1") }
            _ = try await first.checkpoint()
            for count in 0..<10 { try await nodes.write("second-\(count)", "2") }
            let newest = try #require(try await first.checkpoint())
            try await nodes.write("third", "3")
            try await nodes.stopAll()
            let key = ObjectKey("db/" + newest)
            var bytes = try await nodes.store.get(key, bytes: nil).bytes
            bytes[bytes.count / 2] ^= 1
            _ = try await nodes.store.put(key, .bytes(bytes), when: .always)
            try FileManager.default.removeItem(at: nodes.folder.appending(path: "1"))
            for number in 1...2 { try await nodes.start(number) }
            let rows = try await nodes.agree()
            #expect(rows.count == 2 && rows[0] == rows[1])
            let last = try await nodes.write("fourth", "4")
            for (key, value) in [("first-29", "1"), ("second-9", "2"), ("third", "3")] {
                #expect(try last.range(RangeRequest(key: [UInt8](key))).kvs.first?.value == [UInt8](value))
            }
        } catch {
            try await nodes.stopAll()
            throw error
        }
        try await nodes.stopAll()
    }

    /// A log without entries has no file.
    @Test func aNodeFilledFromACheckpointStartsAgain() async throws {
        let nodes = try await ClusterNodes(engine: "lmdb")
        do {
            let first = try await nodes.start(1)
            try await nodes.write("a", "1")
            _ = try await first.checkpoint()
            nodes.isCut.withLock { $0 = true }
            for _ in 0..<3 {
                #expect(try await nodes.start(2).revision == Revision(2))
                try await nodes.stop(2)
            }
            nodes.isCut.withLock { $0 = false }
            try await nodes.start(2)
            let rows = try await nodes.agree()
            #expect(rows.count == 2 && rows[0] == rows[1])
        } catch {
            try await nodes.stopAll()
            throw error
        }
        try await nodes.stopAll()
    }

    private func comeAndGo(_ nodes: ClusterNodes) async throws {
        for number in 1...3 { try await nodes.start(number) }
        for count in 0..<120 { try await nodes.write("key-\(count % 11)", "\(count)") }
        // One after the other, as an operator does it.
        for number in 1...3 {
            try await nodes.stop(number)
            for count in 0..<10 { try await nodes.write("without-\(number)", "\(count)") }
            try await nodes.start(number)
        }
        // A disk is lost, and filled again.
        try await nodes.stop(2)
        try FileManager.default.removeItem(at: nodes.folder.appending(path: "2"))
        try await nodes.start(2)
        let rows = try await nodes.agree()
        #expect(rows.count == 3 && rows.allSatisfy { $0 == rows[0] })
        try await nodes.stopAll()
        // All of them were gone.
        for number in 1...3 { try await nodes.start(number) }
        let again = try await nodes.agree()
        #expect(again.allSatisfy { $0 == again[0] })
        let last = try await nodes.write("last", "1")
        #expect(try last.range(RangeRequest(key: [UInt8]("key-0"))).kvs.first?.value == [UInt8]("110"))
    }
}
