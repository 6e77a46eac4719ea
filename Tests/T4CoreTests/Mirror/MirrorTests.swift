import Foundation
import T4Protocols
import Testing

@testable import T4Core

/// Goal: a mirror does what the other database did, in its order, or nothing. Method: entries of a history that a second
/// node has made, and entries that belong to none.
struct MirrorTests {
    private static let cluster: UInt64 = 0xC1

    /// A node whose directory was made a mirror before it started.
    private func mirror() throws -> TestNode {
        let node = try TestNode()
        try node.node.stopAndWait()
        try MirrorMark.write(Self.cluster, node.directory)
        return node
    }

    private func open(_ directory: String, cluster: UInt64? = cluster) throws -> Node {
        try TestNode.open(directory, "memory") { $0.mirroredCluster = cluster }
    }

    private func commit(_ node: Node, _ entry: MirrorEntry) async throws -> MirrorEntry.Outcome {
        let outcome = FirstValue<Result<ProposalResponse, DatabaseError>>()
        node.submit(.mirror(entry)) { outcome.give($0) }
        guard case .mirror(let done) = try await outcome.wait().get() else { preconditionFailure("another answer") }
        return done
    }

    private func expect(
        _ node: Node, _ entry: MirrorEntry, _ wanted: MirrorEntry.Outcome,
        _ location: SourceLocation = #_sourceLocation
    ) async throws {
        let outcome = try await commit(node, entry)
        #expect(outcome == wanted, "\(entry)", sourceLocation: location)
    }

    private func put(_ key: String, _ create: Int64, _ mod: Int64, _ version: Int64, lease: Int64 = 0, sub: UInt32 = 0)
        -> Mutation
    {
        .put(
            key: Array(key),
            record: StoredRecord(
                create: Revision(create), mod: Revision(mod), version: version, lease: lease, sub: sub, value: [1]))
    }

    private func entry(_ revision: Int64, _ mutations: Mutation...) -> MirrorEntry {
        MirrorEntry(revision: Revision(revision), mutations)
    }

    private func withMirror(_ body: (Node) async throws -> Void) async throws {
        let directory = try mirror()
        let node = try open(directory.directory)
        try await body(node)
        try node.stopAndWait()
        try directory.restart()
    }

    @Test func revisionsComeAsTheyWere() async throws {
        try await withMirror { node in
            let lease = LeaseRecord(id: 9, ttl: 60)
            try await expect(node, entry(2, put("a", 2, 2, 1)), .applied)
            let both = entry(3, put("b", 3, 3, 1, lease: 9), .grant(lease), .delete(key: Array("a"), sub: 1))
            try await expect(node, both, .applied)
            try await expect(node, entry(4, put("b", 3, 4, 2)), .applied)
            #expect(node.revision == Revision(4))
            let old = try node.range(RangeRequest(key: Array("a"), revision: 2)).kvs
            #expect(old.map(\.modRevision) == [Revision(2)])
            let events = try node.published.changes(
                from: Revision(2), through: Revision(4), includePrevious: true, byteLimit: .max)
            #expect(events.map(\.revision.rawValue) == [2, 3, 4])
            #expect(events[1].events.map(\.kind) == [.put, .delete] && events[1].events[1].previous != nil)
            #expect(node.leases.timeToLive(9)?.granted == 60)
        }
    }

    @Test func nothingOutOfOrder() async throws {
        try await withMirror { node in
            try await expect(node, entry(2, put("a", 2, 2, 1)), .applied)
            for wrong in [
                entry(2, put("a", 2, 2, 1)), entry(4, put("a", 2, 4, 2)), entry(4, put("b", 4, 4, 1)),
                entry(0, put("b", 0, 0, 1)),
                entry(3, put("a", 2, 4, 2)), entry(3, put("a", 2, 3, 2, sub: 1)),
                entry(3, put("b", 3, 3, 1), .delete(key: Array("a"), sub: 0)),
            ] {
                try await expect(node, wrong, .outOfOrder)
            }
            #expect(node.revision == Revision(2))
            #expect(try node.range(RangeRequest(key: [0], rangeEnd: [0])).kvs.map(\.version) == [1])
        }
    }

    @Test func whatIsNotTheSameIsSaid() async throws {
        try await withMirror { node in
            try await expect(node, entry(2, put("a", 2, 2, 1)), .applied)
            for wrong in [
                entry(3, put("a", 2, 3, 3)), entry(3, put("a", 3, 3, 1)), entry(3, put("b", 2, 3, 2)),
                entry(3, .delete(key: Array("b"), sub: 0)),
            ] {
                guard case .diverged = try await commit(node, wrong) else {
                    Issue.record("\(wrong) was taken")
                    continue
                }
            }
            #expect(node.revision == Revision(2))
        }
    }

    /// etcd allows a put and then a deletion in transactions of one transaction, and longer keys.
    @Test func whatNoNodeCanHoldIsSaid() async throws {
        try await withMirror { node in
            try await expect(node, entry(2, put("a", 2, 2, 1)), .applied)
            let long = String(repeating: "k", count: Keyspace.userKeyBytesMax)
            let value = [UInt8](repeating: 0, count: StoredRecord.valueBytesMax + 1)
            let record = { (value: [UInt8]) in
                StoredRecord(create: Revision(3), mod: Revision(3), version: 1, lease: 0, sub: 0, value: value)
            }
            for (wrong, text) in [
                (entry(3, put("b", 3, 3, 1), .delete(key: Array("b"), sub: 1)), "changed twice in revision 3: 62"),
                (entry(3, .delete(key: Array("a"), sub: 0), put("a", 3, 3, 1, sub: 1)), "changed twice in revision 3"),
                (entry(3, put("", 3, 3, 1)), "a key of revision 3 has 0 bytes"),
                (entry(3, put(long + "k", 3, 3, 1)), "a key of revision 3 has 32769 bytes"),
                (entry(3, .delete(key: [], sub: 0)), "a key of revision 3 has 0 bytes"),
                (entry(3, .put(key: [1], record: record(value))), "a value of revision 3 has \(value.count) bytes"),
            ] {
                guard case .unsupported(let reason) = try await commit(node, wrong) else {
                    Issue.record("a change was taken: \(text)")
                    continue
                }
                #expect(reason.contains(text), "\(reason)")
            }
            #expect(node.revision == Revision(2))
            try await expect(node, entry(3, put(long, 3, 3, 1)), .applied)
        }
    }

    @Test func leasesStandStillAndGo() async throws {
        try await withMirror { node in
            let lease = LeaseRecord(id: 9, ttl: 1)
            let none = { (mutation: Mutation) in MirrorEntry([mutation]) }
            try await expect(node, entry(2, put("a", 2, 2, 1, lease: 9), .grant(lease)), .applied)
            #expect(node.leases.timeToLive(9)?.remaining == 1, "no time passes")
            // A lease with keys is not taken away: the deletion of its keys is still to come.
            try await expect(node, none(.revoke(lease)), .applied)
            #expect(node.leases.count == 1)
            try await expect(node, none(.grant(LeaseRecord(id: 9, ttl: 70))), .applied)
            #expect(node.leases.timeToLive(9)?.granted == 70)
            #expect(try node.read().leases() == [LeaseRecord(id: 9, ttl: 70)])
            try await expect(node, entry(3, .delete(key: Array("a"), sub: 0)), .applied)
            try await expect(node, none(.revoke(lease)), .applied)
            #expect(node.leases.count == 0)
            try await expect(node, none(.compact(Revision(9))), .applied)
            #expect(node.compactedRevision == .none, "nothing ahead of the keys")
            try await expect(node, none(.compact(Revision(3))), .applied)
            #expect(node.compactedRevision == Revision(3) && node.revision == Revision(3))
        }
    }

    /// Alarms and quotas are the source's business.
    @Test func anAlarmHoldsNothingUp() async throws {
        try await withMirror { node in
            try await node.raise(Alarm(.noSpace, member: 1))
            try await expect(node, entry(2, put("a", 2, 2, 1)), .applied)
        }
    }

    @Test func aDirectoryIsAMirrorUntilANodeServesIt() throws {
        let directory = try mirror()
        #expect(throws: MirrorMark.Failure.self) { try open(directory.directory, cluster: 0xC2) }
        try open(directory.directory).stopAndWait()
        #expect(try MirrorMark.read(directory.directory) == Self.cluster)
        try directory.restart()
        #expect(try MirrorMark.read(directory.directory) == nil)
        try directory.node.stopAndWait()
        #expect(throws: MirrorMark.Failure.self) { try open(directory.directory) }
    }
}
