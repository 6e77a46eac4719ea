import EtcdAPI
import Foundation
import RPC
import SwiftProtobuf
import T4Conformance
import Testing

/// Goal: a mirror holds what the source holds, revision for revision, whatever happens to it, and never something else.
/// Method: real etcd under load, kill -9, and a comparison of every event and lease at the end.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct ReplicateTests {
    private static func arguments(_ move: EtcdMove, _ etcd: ServerUnderTest, _ more: [String] = []) -> [String] {
        ["replicate", "--from", etcd.address, "--data-dir", move.path("t4").path, "--interval", "100ms"] + more
    }

    /// Writes of every kind, beside each other.
    private static func load(_ view: DatabaseView, _ name: String, rounds: Int) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in 0..<8 {
                group.addTask {
                    let lease = Int64(1000 + writer)
                    for round in 0..<rounds {
                        let key = { (part: String) in Array("\(name)/\(writer)/\(part)".utf8) }
                        try await view.put(key("same"), [UInt8(round)], lease: round % 2 == 0 ? lease : 0)
                        try await view.txn(
                            puts: [(key("b"), [1]), (key("a\(round)"), [])],
                            deletes: [key("a\(round - 1)"), key("none")])
                        if round % 5 == 0 { try await view.delete(Array("\(name)/\(writer)/a".utf8), to: key("b")) }
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// What the mirror holds is looked at through t4 itself; it follows nothing from then on.
    private static func expectSame(
        _ move: EtcdMove, _ there: DatabaseView, from compacted: Int64
    ) async throws {
        let t4 = try await move.run("t4")
        let here = try await DatabaseView.connect(to: t4)
        let newest = try await there.all().revision
        try await SnapshotTests.compare(
            there, here, from: compacted, revisions: [max(1, compacted), (compacted + newest) / 2, newest])
        await here.rpc.close()
        await t4.crash()
    }

    @Test func followsThroughKills() async throws {
        try await EtcdMove.with { move in
            let etcd = try await move.etcd()
            let there = try await DatabaseView.connect(to: etcd)
            for writer in 0..<8 { try await there.grant(Int64(1000 + writer), ttl: 5000) }
            try await Self.load(there, "before", rounds: 6)
            try await there.grant(7, ttl: 600)
            try await there.put(Array("revoked".utf8), [1], lease: 7)
            for round in 0..<3 {
                let mirror = try move.launch(Self.arguments(move, etcd))
                async let load: Void = Self.load(there, "round\(round)", rounds: 10)
                _ = try await mirror.errors.wait(for: "the mirror to follow") { said in
                    said.ended || said.description.contains("following") ? () : nil
                }
                if round == 2 { try await load }
                await mirror.destroy()
                #expect(!mirror.errors.value.description.contains("t4: "), "\(mirror.errors.value)")
                if round < 2 { try await load }
            }
            // While nobody follows.
            try await Self.load(there, "away", rounds: 3)
            try await there.grant(8, ttl: 700)
            _ = try await there.call(
                "Lease/LeaseRevoke", EtcdLeaseRevokeRequest.with { $0.id = 7 }, EtcdLeaseRevokeResponse.self)
            let middle = try await there.all().revision - 20
            try await move.t4All(Self.arguments(move, etcd, ["--until-caught-up"]))
            // The source forgets what the mirror has.
            try await there.compact(middle, physical: true)
            let said = try await move.t4All(Self.arguments(move, etcd, ["--until-caught-up"]))
            let newest = try await there.all().revision
            #expect(said == "The mirror stands at revision \(newest).\n")
            try await Self.expectSame(move, there, from: middle)
            let refused = try move.launch(Self.arguments(move, etcd, ["--until-caught-up"]))
            #expect(try await refused.wait() == .code(1))
            #expect(refused.errors.value.description.contains("it is no mirror, or a node was started in it"))
            await there.rpc.close()
            await etcd.crash()
        }
    }

    @Test func endsAtARevisionAndSaysWhatIsLost() async throws {
        try await EtcdMove.with { move in
            let etcd = try await move.etcd()
            let there = try await DatabaseView.connect(to: etcd)
            let first = try await there.put([1], [1])
            try await move.t4All(Self.arguments(move, etcd, ["--until-caught-up"]))
            for number in 0..<20 { try await there.put([2], [UInt8(number)]) }
            let said = try await move.t4All(Self.arguments(move, etcd, ["--until-revision", "\(first + 5)"]))
            #expect(said == "The mirror stands at revision \(first + 5).\n")
            let behind = try move.launch(Self.arguments(move, etcd, ["--until-revision", "\(first + 4)"]))
            #expect(try await behind.wait() == .code(1))
            // etcd would send the compacted revision itself, but not always all of it.
            for compacted in [first + 6, first + 10] {
                try await there.compact(compacted, physical: true)
                let lost = try move.launch(Self.arguments(move, etcd, ["--until-caught-up"]))
                #expect(try await lost.wait() == .code(1))
                let text = lost.errors.value.description
                #expect(text.contains("has compacted its history up to revision \(compacted)"), "\(text)")
            }
            await there.rpc.close()
            await etcd.crash()
        }
    }

    /// Between the put of a key and the end of its lease.
    @Test func saysWhichKeysLostTheirLease() async throws {
        try await EtcdMove.with { move in
            let etcd = try await move.etcd()
            let there = try await DatabaseView.connect(to: etcd)
            try await there.put([1], [1])
            try await move.t4All(Self.arguments(move, etcd, ["--until-caught-up"]))
            try await there.grant(7, ttl: 600)
            let leased = try await there.put([2], [1], lease: 7)
            _ = try await there.call(
                "Lease/LeaseRevoke", EtcdLeaseRevokeRequest.with { $0.id = 7 }, EtcdLeaseRevokeResponse.self)
            for (goal, isWarned) in [(["--until-revision", "\(leased)"], true), (["--until-caught-up"], false)] {
                let mirror = try move.launch(Self.arguments(move, etcd, goal))
                #expect(try await mirror.wait() == .code(0), "\(mirror.errors.value)")
                let text = mirror.errors.value.description
                #expect(text.contains("nothing will delete them here keys=1") == isWarned, "\(text)")
            }
            try await Self.expectSame(move, there, from: 0)
            await there.rpc.close()
            await etcd.crash()
        }
    }

    /// A source that was restored from a backup has the same name, and other revisions.
    @Test func refusesAnotherHistory() async throws {
        try await EtcdMove.with { move in
            let etcd = try await move.etcd()
            let there = try await DatabaseView.connect(to: etcd)
            for number in 0..<5 { try await there.put([1], [UInt8(number)]) }
            try await move.t4All(Self.arguments(move, etcd, ["--until-caught-up"]))
            await there.rpc.close()
            await etcd.crash()
            let other = try await move.etcd("other")
            let view = try await DatabaseView.connect(to: other)
            for (writes, text) in [
                (3, "was restored from a backup, or another cluster"), (3, "is another one in the source"),
            ] {
                for number in 0..<writes { try await view.put([1], [UInt8(100 + number)]) }
                let refused = try move.launch(Self.arguments(move, other, ["--until-caught-up"]))
                #expect(try await refused.wait() == .code(1))
                #expect(refused.errors.value.description.contains(text), "\(refused.errors.value)")
            }
            await view.rpc.close()
            await other.crash()
        }
    }

    @Test func followsWithAPassword() async throws {
        try await EtcdMove.with { move in
            let etcd = try await move.etcd()
            for command in [["user", "add", "root:rootpw"], ["auth", "enable"]] {
                _ = try await SnapshotTools.run("etcdctl", ["--endpoints", etcd.address] + command)
            }
            let refused = try move.launch(Self.arguments(move, etcd, ["--until-caught-up"]))
            #expect(try await refused.wait() == .code(1))
            #expect(refused.errors.value.description.contains("user name is empty"), "\(refused.errors.value)")
            try Data("rootpw\n".utf8).write(to: move.path("password"))
            try await move.t4All(Self.arguments(move, etcd, ["--user", "root:rootpw", "--until-caught-up"]))
            let root = ["--endpoints", etcd.address, "--user", "root:rootpw"]
            _ = try await SnapshotTools.run("etcdctl", root + ["put", "a", "b"])
            _ = try await SnapshotTools.run("etcdctl", root + ["user", "add", "late:pw"])
            let mirror = try move.launch(
                Self.arguments(
                    move, etcd, ["--user", "root", "--password-file", move.path("password").path, "--until-caught-up"]))
            #expect(try await mirror.wait() == .code(0), "\(mirror.errors.value)")
            #expect(mirror.output.value.description == "The mirror stands at revision 2.\n")
            #expect(mirror.errors.value.description.contains("they are not followed"), "\(mirror.errors.value)")
            await etcd.crash()
        }
    }
}

extension EtcdMove {
    /// Runs a command that must succeed.
    /// - Returns: What it printed.
    @discardableResult
    fileprivate func t4All(_ arguments: [String], at location: SourceLocation = #_sourceLocation) async throws -> String
    {
        let process = try launch(arguments)
        let status = try await process.wait()
        try #require(status == .code(0), "\(arguments): \(process.errors.value)", sourceLocation: location)
        return process.output.value.description
    }
}
