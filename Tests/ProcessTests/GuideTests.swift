import Foundation
import T4Conformance
import Testing

/// Goal: what docs/operations.md tells operators of a node to type works as it stands there.
/// Method: the commands of a day one after the other, real t4 and etcdctl, on each store; only places and ports differ.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct GuideTests {
    /// Five keys to revision 6, five more to revision 11, with a checkpoint of each; one more behind that, revision 12.
    /// - Returns: A time behind revision 6, and the checkpoint there.
    private func makeHistory(_ guide: GuideRun) async throws -> (time: String, checkpoint: String) {
        try await guide.run("t4", "t4/") { server in
            _ = try await guide.waitForCheckpoint("t4/", of: 1)
            try await guide.put(server, 1...5)
        }
        let moment = try await guide.run("t4", "t4/") { server in
            let checkpoint = try await guide.waitForCheckpoint("t4/", of: 6)
            var now = timespec()
            clock_gettime(CLOCK_REALTIME, &now)
            let seconds = Date(timeIntervalSince1970: Double(now.tv_sec)).formatted(.iso8601).dropLast()
            let time = "\(seconds).\(String("\(1_000_000_000 + now.tv_nsec)".dropFirst()))Z"
            try await guide.put(server, 6...10)
            return (time, checkpoint)
        }
        try await guide.run("t4", "t4/") { server in
            _ = try await guide.waitForCheckpoint("t4/", of: 11)
            try await guide.put(server, 11...11)
        }
        return moment
    }

    @Test(arguments: StorePlace.Kind.available) func backupAndRestore(_ kind: StorePlace.Kind) async throws {
        try await GuideRun.with(kind) { guide in
            let (place, store) = (guide.place, guide.place.flags("t4/"))
            let (time, older) = try await makeHistory(guide)

            let list = try await guide.checkpoints("t4/")
            let latest = try #require(list.last)
            #expect(latest.revision == 11 && list.map(\.isLatest) == list.map { $0 == latest })
            #expect(list.contains(GuideRun.Checkpoint(key: older, revision: 6, isLatest: false)))
            let status = try await guide.t4(["status"] + store)
            #expect(
                status.hasPrefix(
                    "\(place.name)t4/\n\nLatest checkpoint\n  key: \(latest.key)\n  revision: 11\n  term: 3\n\n"
                        + "Storage objects\n  checkpoints: \(list.count)\n  WAL segments: "), "\(status)")
            #expect(status.hasSuffix("\n\nBranch forks\n  (none)\n") && !status.contains("inherited"), "\(status)")

            // The newest checkpoint; then the node goes on to the end.
            let restored = ["--data-dir", guide.data("restored").path]
            let report = try await guide.t4(["restore", "checkpoint"] + store + restored)
            #expect(report.hasPrefix("Restored checkpoint\n  key:      \(latest.key)\n"), "\(report)")
            #expect(try await guide.t4(["inspect", "meta"] + restored).contains("Current revision:        11\n"))
            #expect(try await guide.t4(["inspect", "count"] + restored + ["--prefix", "/"]) == "/: 10\n")
            try await guide.expect(Array(1...11), in: "restored", "t4/")

            // An earlier one: inspected, verified, promoted.
            let pitr = ["--data-dir", guide.data("pitr").path]
            let earlier = ["restore", "checkpoint"] + store + ["--checkpoint", older]
            #expect(try await guide.t4(earlier + pitr).contains("  revision: 6\n"))
            #expect(try await guide.t4(["inspect", "meta"] + pitr).contains("Current revision:        6\n"))
            let keys = try await guide.t4(["inspect", "list"] + pitr + ["--prefix", "/"])
            #expect(keys.contains("\"value 5\"\n") && keys.hasSuffix("\nListed 5 key(s)\n"), "\(keys)")
            let history = try await guide.t4(["inspect", "history"] + pitr + ["/app/3"])
            #expect(history.contains("\n4    put   4 ") && history.hasSuffix("\nListed 1 event(s)\n"), "\(history)")
            try await guide.expect(Array(1...5), in: "pitr")
            try await guide.run("pitr", "t4-recovered/") { server in
                #expect(try await guide.keys(server) == Array(1...5))
                try await guide.put(server, 100...100)
                _ = try await guide.waitForCheckpoint("t4-recovered/", of: 6)
            }
            // It is another database now.
            let refused = try ServerUnderTest.launch(
                .t4(engine: nil), dataDirectory: guide.data("pitr"), options: store, environment: place.environment)
            #expect(try await refused.wait() == .code(1))
            #expect(refused.errors.value.description.contains("the store holds database"))

            // With the original prefix it is recovery, not rollback.
            try await guide.t4(earlier + ["--data-dir", guide.data("caution").path])
            try await guide.expect(Array(1...11), in: "caution", "t4/")

            // Any moment. The store is only read: the node writes to a store of its own.
            try await guide.run("moment", "t4/", ["--restore-point-time", time]) { server in
                #expect(try await guide.keys(server) == Array(1...5))
                try await guide.put(server, 100...100)
            }
            try await guide.run("moment", "t4/", ["--restore-point-time", time]) { server in
                let keys = try await guide.keys(server)
                #expect(keys == Array(1...5) + [100])
            }

            // A lost disk.
            try FileManager.default.removeItem(at: guide.data("t4"))
            try await guide.run("t4", "t4/") { server in
                #expect(try await guide.keys(server) == Array(1...11))
                _ = try await guide.waitForCheckpoint("t4/", of: 12)
            }
            #expect(try await guide.t4(["verify"] + store).hasSuffix("\nNothing is wrong\n"))
        }
    }

    @Test(arguments: StorePlace.Kind.available) func retention(_ kind: StorePlace.Kind) async throws {
        try await GuideRun.with(kind) { guide in
            let store = guide.place.flags("t4/")
            let (time, older) = try await makeHistory(guide)
            let count = try await guide.checkpoints("t4/").count
            // Everything is younger than a day.
            let young = try await guide.t4(["gc"] + store + ["--keep", "1"])
            #expect(young.hasPrefix("GC complete\n  checkpoints deleted: 0\n  orphan SSTs deleted: "), "\(young)")
            #expect(young.hasSuffix("\n  WAL segments deleted: 0\n"), "\(young)")
            let report = try await guide.t4(["gc"] + store + ["--keep", "1", "--retain", "0"])
            #expect(report.hasPrefix("GC complete\n  checkpoints deleted: \(count - 1)\n"), "\(report)")
            #expect(try await guide.checkpoints("t4/").map(\.revision) == [11])

            // What is gone is named, with what there is instead.
            let data = ["--data-dir", guide.data("restored").path]
            let key = try await guide.checkpoints("t4/")[0].key
            try await guide.expectFailure(
                ["restore", "checkpoint"] + store + data + ["--checkpoint", older],
                saying: "t4: there is no checkpoint \(older)\n", "the nearest checkpoint before that is \(key) ")
            let launched = try ServerUnderTest.launch(
                .t4(engine: nil), dataDirectory: guide.data("restored"),
                options: store + ["--restore-point-time", time], environment: guide.place.environment)
            #expect(try await launched.wait() == .code(1))
            #expect(!FileManager.default.fileExists(atPath: guide.data("restored").path))
            try await guide.t4(["restore", "checkpoint"] + store + data)
            try await guide.expect(Array(1...11), in: "restored", "t4/")
        }
    }
}
