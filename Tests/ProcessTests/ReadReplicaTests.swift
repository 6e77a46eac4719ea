import EtcdAPI
import Foundation
import SwiftProtobuf
import T4Conformance
import Testing

/// Goal: a read replica serves what its database wrote, in its order, never writes, and takes its place when it is told to. Method: real
/// nodes around one store, killed, stopped and left behind.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"), .timeLimit(.minutes(20)))
struct ReadReplicaTests {
    private struct Place: Sendable {
        var folder: URL

        var store: [String] {
            ["--store-type", "filesystem", "--store-filesystem-path", folder.appending(path: "store").path]
        }

        func primary(_ name: String = "primary", engine: String? = nil, _ more: [String] = []) async throws
            -> ServerUnderTest
        {
            try await ServerUnderTest.start(
                .t4(engine: engine), dataDirectory: folder.appending(path: name), options: store + more)
        }

        func replica(engine: String? = nil, _ more: [String] = []) async throws -> ServerUnderTest {
            try await ServerUnderTest.start(
                .t4(engine: engine), dataDirectory: folder.appending(path: "replica"),
                options: store + ["--read-replica", "--read-replica-interval", "20ms"] + more)
        }
    }

    private func withPlace(_ body: @escaping @Sendable (Place) async throws -> Void) async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { try await body(Place(folder: $0)) }
        }
    }

    /// Waits until a replica has a revision, and compares it with the other one.
    private func expectEqual(_ replica: EtcdClient, _ primary: EtcdClient) async throws {
        let wanted = try await primary.all()
        var seen = try await replica.all()
        while seen.revision < wanted.revision {
            await Task.yield()
            seen = try await replica.all()
        }
        #expect(seen.revision == wanted.revision && seen.rows == wanted.rows)
        // A compaction goes on in the background.
        while try await hash(replica, wanted.revision) != hash(primary, wanted.revision) { await Task.yield() }
    }

    private func hash(_ client: EtcdClient, _ revision: Int64) async throws -> UInt32 {
        let request = EtcdHashKVRequest.with { $0.revision = revision }
        return try await client.call("Maintenance/HashKV", request, EtcdHashKVResponse.self).hash
    }

    @Test func itFollowsOnEveryEngine() async throws {
        let engines = try await TestEnvironment.engines()
        for (number, engine) in engines.enumerated() {
            try await withPlace { place in
                let primary = try await place.primary(engine: engine)
                let client = try await EtcdClient.connect(to: primary)
                for number in 0..<20 { _ = try await client.put("key\(number)", "from before") }
                var replica = try await place.replica(engine: engines[(number + 1) % engines.count])
                var reader = try await EtcdClient.connect(to: replica)
                try await expectEqual(reader, client)
                let watch = try reader.watch(from: 2)
                let own = try client.watch(from: 2)
                for number in 0..<30 { _ = try await client.put("key\(number)", "later") }
                _ = try await client.delete("key3")
                let last = try await client.put("last", "x")
                let changes = try await own.changes(through: last)
                #expect(try await watch.changes(through: last) == changes && changes?.count == 52)
                try await client.compact(to: last - 10)
                try await expectEqual(reader, client)
                // It writes nothing, and says so as etcd's learners do.
                for method in ["put", "delete", "lease", "compact"] {
                    do {
                        switch method {
                        case "put": _ = try await reader.put("a", "b")
                        case "delete": _ = try await reader.delete("key1")
                        case "lease":
                            let request = EtcdLeaseGrantRequest.with { $0.ttl = 60 }
                            _ = try await reader.call("Lease/LeaseGrant", request, EtcdLeaseGrantResponse.self)
                        default: try await reader.compact(to: last)
                        }
                        Issue.record("\(method) was taken")
                    } catch {
                        #expect("\(error)".contains("rpc not supported for learner"), "\(error)")
                    }
                }
                // Killed at any time it goes on where it was.
                for round in 0..<3 {
                    replica.process.signal(SIGKILL)
                    _ = try await replica.process.wait()
                    await reader.close()
                    for number in 0..<10 { _ = try await client.put("round\(round)-\(number)", "x") }
                    replica = try await place.replica(engine: engines[(number + 1) % engines.count])
                    reader = try await EtcdClient.connect(to: replica)
                    try await expectEqual(reader, client)
                }
                await reader.close()
                await client.close()
                #expect(try await replica.stop() == .code(0))
                #expect(try await primary.stop() == .code(0))
            }
        }
    }

    /// Longer away than the store keeps the log: it takes a checkpoint, and a running one starts anew by itself. Also where the
    /// checkpoint that it knows is still there, for a branch.
    @Test(arguments: [false, true])
    func itComesBackWhenTheLogIsGone(hasBranch: Bool) async throws {
        try await withPlace { place in
            let primary = try await place.primary(
                "primary", ["--checkpoint-entries", "20", "--checkpoint-keep", "1", "--checkpoint-retain", "0s"])
            let client = try await EtcdClient.connect(to: primary)
            for number in 0..<5 { _ = try await client.put("key\(number)", "x") }
            let replica = try await place.replica()
            let reader = try await EtcdClient.connect(to: replica)
            try await expectEqual(reader, client)
            await reader.close()
            let known = try await client.all().revision
            if hasBranch {
                let fork = try await CommandRun.run(["branch", "fork", "--branch-id", "kept"] + place.store)
                #expect(fork.status == .code(0), "\(fork.errors)")
            }
            replica.process.signal(SIGSTOP)
            var number = 0
            // The first object of a term stays.
            func isGone() throws -> Bool {
                let names = try FileManager.default.subpathsOfDirectory(
                    atPath: place.folder.appending(path: "store").path)
                let indexes = names.filter { $0.contains("wal/") }.compactMap { Int($0.suffix(20)) }
                return number > 100 && !indexes.contains { (10...60).contains($0) }
            }
            while try !isGone() {
                number += 1
                _ = try await client.put("while away", "\(number)")
                guard number % 100 == 0 else { continue }
                let gc = try await CommandRun.run(["gc", "--keep", "1", "--retain", "0"] + place.store)
                #expect(gc.status == .code(0), "\(gc.errors)")
                try #require(number < 3000)
            }
            // What is not there any more is not shipped either.
            let piece = place.folder.appending(path: "piece").path
            try await CommandRun.expect(
                ["ship", "--after", "\(known)", "--output", piece] + place.store, endsWith: 1,
                saying: "behind revision \(known)")
            replica.process.signal(SIGCONT)
            try await replica.process.errors.untilSaid("the node starts anew")
            _ = try await replica.process.output.wait(for: "the second start") { output in
                output.description.components(separatedBy: "t4 is ready").count > 2 ? true : nil
            }
            let again = try await EtcdClient.connect(to: replica)
            try await expectEqual(again, client)
            await again.close()
            await client.close()
            #expect(try await replica.stop() == .code(0))
            #expect(try await primary.stop() == .code(0))
        }
    }

    /// Started without the flag it goes on as the database, and the old primary yields.
    @Test func itTakesTheDatabaseOver() async throws {
        try await withPlace { place in
            let primary = try await place.primary()
            let client = try await EtcdClient.connect(to: primary)
            for number in 0..<20 { _ = try await client.put("key\(number)", "x") }
            let replica = try await place.replica()
            let reader = try await EtcdClient.connect(to: replica)
            try await expectEqual(reader, client)
            let before = try await client.all()
            await reader.close()
            await client.close()
            #expect(try await replica.stop() == .code(0))
            primary.process.signal(SIGKILL)
            _ = try await primary.process.wait()
            let promoted = try await place.primary("replica")
            let writer = try await EtcdClient.connect(to: promoted)
            let state = try await writer.all()
            #expect(state.revision == before.revision && state.rows == before.rows)
            #expect(try await writer.put("promoted", "yes") == before.revision + 1)
            await writer.close()
            #expect(try await promoted.stop() == .code(0))
            // The old one goes on behind it.
            let old = try await place.primary()
            let last = try await EtcdClient.connect(to: old)
            #expect(try await last.all().revision == before.revision + 1)
            await last.close()
            #expect(try await old.stop() == .code(0))
        }
    }

    @Test func whatIsInTheWayIsSaid() async throws {
        try await withPlace { place in
            func expect(_ flags: [String], _ code: Int32, _ text: String) async throws {
                try await CommandRun.expect(
                    ["run", "--data-dir", place.folder.appending(path: "new").path, "--listen", "127.0.0.1:0"] + flags,
                    endsWith: code, saying: text)
            }
            try await expect(["--read-replica"], 1, "a read replica needs a database to follow")
            try await expect(["--read-replica-interval", "5s"], 64, "is of no use without replica.enabled")
            try await expect(
                ["--read-replica", "--peer-listen", "127.0.0.1:0"] + place.store, 64, "cannot be had with peer.listen")
            try FileManager.default.createDirectory(
                at: place.folder.appending(path: "store"), withIntermediateDirectories: false)
            try await expect(["--read-replica"] + place.store, 1, "there is no database in the object store to follow")
            // A copy that has what the database lost does not follow it.
            let primary = try await place.primary(
                "primary", ["--wal-durability", "local", "--segment-max-age-sec", "1h"])
            let client = try await EtcdClient.connect(to: primary)
            _ = try await client.put("a", "1")
            let backup = place.folder.appending(path: "backup").path
            let made = try await CommandRun.run(["backup", "--endpoint", primary.address, "--output", backup])
            #expect(made.status == .code(0), "\(made.errors)")
            _ = try await client.put("b", "2")
            await client.close()
            primary.process.signal(SIGKILL)
            _ = try await primary.process.wait()
            let (data, piece) = (place.folder.appending(path: "primary"), place.folder.appending(path: "piece").path)
            let copy = place.folder.appending(path: "replica").path
            for arguments in [
                ["ship", "--data-dir", data.path, "--after", "2", "--output", piece],
                ["restore", copy, "--input", backup], ["replay", copy, "--input", piece],
            ] {
                let outcome = try await CommandRun.run(arguments)
                #expect(outcome.status == .code(0), "\(outcome.errors)")
            }
            try FileManager.default.removeItem(at: data)
            let second = try await place.primary()
            let writer = try await EtcdClient.connect(to: second)
            for number in 0..<5 { _ = try await writer.put("c", "\(number)") }
            await writer.close()
            #expect(try await second.stop() == .code(0))
            let outcome = try await CommandRun.run(
                ["run", "--data-dir", copy, "--listen", "127.0.0.1:0", "--read-replica"] + place.store)
            #expect(outcome.status == .code(1) && outcome.errors.contains("is another one"), "\(outcome.errors)")
        }
    }
}
