import Foundation
import FoundationNetworking
import T4Conformance
import Testing

/// Goal: what a collection removed is restored from a bucket that keeps versions, and nothing writes to a store of the past.
/// Method: the commands one after the other, on a real S3 service.
@Suite(.enabled(if: TestEnvironment.subject != .etcd && S3Service.isInstalled, "about t4 itself, on S3"))
struct PastStoreTests {
    /// Makes the bucket keep versions from now on.
    private func keepVersions(_ guide: GuideRun) async throws {
        let flags = guide.place.flags("")
        let endpoint = try #require(flags.firstIndex(of: "--s3-endpoint").map { flags[$0 + 1] })
        var request = URLRequest(url: try #require(URL(string: "\(endpoint)/\(S3Service.bucket)?versioning")))
        request.httpMethod = "PUT"
        request.httpBody = Data("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>".utf8)
        let (_, response) = try await URLSession.shared.data(for: request)
        try #require((response as? HTTPURLResponse)?.statusCode == 200)
    }

    /// Now, in whole seconds since 1970, by the clock that the service has too.
    private func now() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return time.tv_sec
    }

    private func text(_ seconds: Int) -> String { Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601) }

    @Test func whatACollectionRemovedIsRestored() async throws {
        try await GuideRun.with(.s3) { guide in
            try await keepVersions(guide)
            let store = guide.place.flags("t4/")
            var (then, moment) = (DatabaseState(revision: 0, rows: []), 0)
            // No later revision can be in the bucket when the second of that moment is over.
            var lastRevision: Int64 = 0
            try await guide.run("node", "t4/", ["--checkpoint-entries", "40"]) { server in
                let client = try await EtcdClient.connect(to: server)
                for number in 0..<130 {
                    _ = try await client.put("key\(number % 50)", "early \(number)")
                    if number % 9 == 0 { _ = try await client.delete("key\(number % 50)") }
                }
                then = try await client.all()
                // Everything that was answered is in the bucket. What is written later in the same second is shown too,
                // and what is deleted later is not: so nothing is collected before the second is over.
                moment = now()
                var number = 0
                while now() <= moment + 1 || number < 100 {
                    let revision = try await client.put("key\(number % 50)", "late \(number)")
                    if lastRevision == 0, now() > moment { lastRevision = revision }
                    number += 1
                }
                await client.close()
            }
            // A node makes a checkpoint at its start.
            try await guide.run("node", "t4/") { _ in
                let end = try await guide.t4(["restore", "checkpoint", "--to-end", "--dry-run"] + store)
                let revision = try #require(end.firstMatch(of: /revision: (\d+)/).flatMap { Int64($0.1) })
                _ = try await guide.waitForCheckpoint("t4/", of: revision)
            }
            let before = try await guide.checkpoints("t4/")
            _ = try await guide.t4(["gc"] + store + ["--keep", "1", "--retain", "0"])
            #expect(try await guide.checkpoints("t4/").count < before.count)

            let restore = ["restore", "checkpoint", "--to-revision", "\(then.revision)"] + store
            try await guide.expectFailure(
                restore + ["--data-dir", guide.data("none").path],
                saying: "t4: revision \(then.revision) lies before everything that is kept\n",
                "t4: if the bucket keeps versions, --s3-as-of TIME restores from what was in it at a time before the ")
            // A revision that never was is no matter of versions.
            let later = ["restore", "checkpoint", "--to-revision", "99999", "--dry-run"] + store
            let (_, _, said) = try await guide.ended(later)
            #expect(said.contains("is newer than the end of the log") && !said.contains("--s3-as-of"), "\(said)")

            let past = ["--s3-as-of", text(moment)]
            try await guide.t4(restore + past + ["--data-dir", guide.data("restored").path])
            try await guide.run("restored", nil, ["--store-type", "none"]) { server in
                let client = try await EtcdClient.connect(to: server)
                let state = try await client.all()
                await client.close()
                #expect(state.revision == then.revision && state.rows == then.rows)
            }

            // All that only reads works on the past, and shows nothing of what came later.
            let list = try await guide.t4(["restore", "list"] + store + past)
            let old = try #require(list.firstMatch(of: /(checkpoint\/\S+) +(\d+) +\d+  \(latest\)/))
            #expect(try #require(Int64(old.2)) <= lastRevision)
            #expect(!(try await guide.checkpoints("t4/").contains { $0.key == old.1 }))
            let name = "s3://\(S3Service.bucket)/t4/ as of \(text(moment))"
            let status = try await guide.t4(["status"] + store + past)
            #expect(status.hasPrefix("S3 status \(name)\n") && status.contains("\n  key: \(old.1)\n"), "\(status)")
            let verified = try await guide.t4(["verify", "--deep"] + store + past)
            #expect(
                verified.hasPrefix("Verifying \(name)\n") && verified.hasSuffix("\nNothing is wrong\n"), "\(verified)")
            let inspected = try await guide.t4(["inspect", "meta", "--checkpoint", String(old.1)] + store + past)
            #expect(inspected.contains("Current revision: \(old.2)\n"), "\(inspected)")
            #expect(try await guide.t4(["branch", "list"] + store + past) == "no branches of \(name)\n")
            let empty = ["restore", "list"] + store + ["--s3-as-of", "2024-06-01T12:00:00Z"]
            let (ended, output, errors) = try await guide.ended(empty)
            #expect(ended == .code(1) && errors.contains("there is no database in this place"), "\(errors)")
            #expect(output == "no checkpoints below s3://\(S3Service.bucket)/t4/ as of 2024-06-01T12:00:00Z\n")
        }
    }

    @Test func nothingWritesToThePast() async throws {
        try await GuideRun.with(.s3) { guide in
            let past = guide.place.flags("t4/") + ["--s3-as-of", "2024-06-01T12:00:00Z"]
            // Refused before the service is asked: it would say that it keeps no versions.
            for command in [
                ["gc"], ["gc", "--dry-run"], ["branch", "fork", "--branch-id", "b"], ["verify-store"],
                ["branch", "unfork", "--branch-id", "b"], ["run", "--data-dir", guide.data("node").path],
            ] {
                let name = "t4 " + command.prefix { !$0.hasPrefix("-") }.joined(separator: " ")
                try await guide.expectFailure(
                    command + past, code: 64,
                    saying:
                        "--s3-as-of: store.s3.as_of: the bucket as it was at 2024-06-01T12:00:00Z can only be read, "
                        + "which is not enough for \(name); leave it out\n")
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: guide.folder.path).isEmpty)
            // And a bucket that keeps none has no past.
            for command in [["restore", "list"], ["status"], ["verify"], ["branch", "list"]] {
                try await guide.expectFailure(
                    command + past, saying: "cannot be read as of 2024-06-01T12:00:00Z: it keeps no versions ",
                    "leave out as_of to read what is there now")
            }
            for (text, reason) in [("noon", "is not a time such as"), ("2124-06-01T12:00:00Z", "lies in the future")] {
                let flags = guide.place.flags("t4/") + ["--s3-as-of", text]
                let (status, output, errors) = try await guide.ended(["status"] + flags)
                #expect(status != .code(0) && output == "" && errors.contains(reason), "\(errors)")
            }
        }
    }
}
