import Foundation
import T4Conformance
import Testing

/// Goal: an operator forks a database, works on the branch, and takes it away, as docs/branches.md says.
/// Method: the commands one after the other, real t4 and etcdctl, on each store.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct BranchTests {
    @Test(arguments: StorePlace.Kind.available) func forkRunUnfork(_ kind: StorePlace.Kind) async throws {
        try await GuideRun.with(kind) { guide in
            let (store, id) = (guide.place.flags("t4/"), ["--branch-id", "staging"])
            try await guide.run("t4", "t4/") { server in
                _ = try await guide.waitForCheckpoint("t4/", of: 1)
                try await guide.put(server, 1...5)
            }
            var parent = try await guide.run("t4", "t4/")
            let latest = try await guide.waitForCheckpoint("t4/", of: 6)
            try await guide.put(parent, 6...6)

            let printed = try await guide.t4(["branch", "fork"] + store + id)
            #expect(printed == "\(latest)\n")
            let key = String(printed.dropLast())
            let rows = "BRANCH   REVISION  CHECKPOINT\nstaging  6         \(key)\n"
            #expect(try await guide.t4(["branch", "list"] + store) == rows)
            #expect(try await guide.t4(["status"] + store).hasSuffix("\nBranch forks\n  staging: \(key)\n"))

            let branch = guide.place.flags("t4-staging/")
            let flags = ["--branch-prefix", "t4/", "--branch-checkpoint", key]
            try await guide.run("staging", "t4-staging/", flags) { server in
                let status = try await guide.t4(["status"] + branch)
                #expect(status.firstMatch(of: /\n  inherited tables: [1-9]\d* \(below t4\/\)\n/) != nil, "\(status)")
                #expect(try await guide.keys(server) == Array(1...5))
                try await guide.put(server, 100...102)
                #expect(try await guide.keys(parent) == Array(1...6))
            }
            // What the branch began with goes on being kept, and the branch needs nothing but the store.
            #expect(try await parent.stop() == .code(0))
            parent = try await guide.run("t4", "t4/")
            _ = try await guide.waitForCheckpoint("t4/", of: 7)
            _ = try await guide.t4(["gc"] + store + ["--keep", "1", "--retain", "0"])
            #expect(try await guide.checkpoints("t4/").map(\.revision) == [6, 7])
            try FileManager.default.removeItem(at: guide.data("staging"))
            for given in [flags, [], flags] {
                try await guide.run("staging", "t4-staging/", given) { server in
                    #expect(try await guide.keys(server) == Array(1...5) + Array(100...102))
                    _ = try await guide.waitForCheckpoint("t4-staging/", of: 9)
                }
            }
            #expect(try await guide.t4(["verify", "--deep"] + branch).hasSuffix("\nNothing is wrong\n"))
            let meta = try await guide.t4(["inspect", "meta", "--checkpoint", "latest"] + branch)
            #expect(meta.contains("Current revision: 9\n") && meta.contains("Total keys:       8\n"), "\(meta)")
            try await guide.t4(["restore", "checkpoint"] + branch + ["--data-dir", guide.data("copy").path])
            #expect(try await guide.t4(["inspect", "count", "--data-dir", guide.data("copy").path]) == "8\n")

            for text in ["branch staging of", "no branch staging of"] {
                let said = try await guide.t4(["branch", "unfork"] + store + id)
                #expect(said.hasPrefix(text), "\(said)")
            }
            #expect(try await guide.t4(["branch", "list"] + store).hasPrefix("no branches of "))
            #expect(try await guide.keys(parent) == Array(1...6))
            #expect(try await parent.stop() == .code(0))
        }
    }

    @Test func whatCannotBeForkedIsNamed() async throws {
        try await GuideRun.with(.filesystem) { guide in
            let fork = ["branch", "fork"] + guide.place.flags("t4/")
            try await guide.expectFailure(
                fork + ["--branch-id", "b"], saying: "there is no object store at", "does not exist")
            try await guide.run("t4", "t4/") { _ in _ = try await guide.waitForCheckpoint("t4/", of: 1) }
            let key = try #require(try await guide.checkpoints("t4/").last).key
            try await guide.expectFailure(
                ["branch", "fork", "--branch-id", "b"] + guide.place.flags("other/"),
                saying: "there is no database under the prefix \"other/\"")
            try await guide.expectFailure(fork + ["--branch-id", "a b"], saying: "\"a b\" cannot be an id: 1 to 128 ")
            try await guide.expectFailure(fork, code: 64, saying: "--branch-id")
            try await guide.expectFailure(
                fork + ["--branch-id", "b", "--checkpoint", key, "--to-revision", "1"], code: 64,
                saying: "cannot be had together")
            let typo = key.replacing("00000001/manifest", with: "00000050/manifest")
            try await guide.expectFailure(
                fork + ["--branch-id", "b", "--checkpoint", typo], saying: "there is no checkpoint \(typo)\n",
                "the nearest checkpoint before that is \(key) ")
            #expect(try await guide.t4(["branch", "list"] + guide.place.flags("t4/")).hasPrefix("no branches of "))

            // A branch that cannot begin leaves nothing under its prefix.
            let launched = try ServerUnderTest.launch(
                .t4(engine: nil), dataDirectory: guide.data("b"),
                options: guide.place.flags("b/") + ["--branch-prefix", "t4/", "--branch-checkpoint", typo])
            #expect(try await launched.wait() == .code(1))
            let said = launched.errors.value.description
            #expect(
                said.contains("t4: there is no checkpoint \(typo) under the prefix \"t4/\" to begin a branch"),
                "\(said)")
            try await guide.expectFailure(
                ["status"] + guide.place.flags("b/"), saying: "there is no database in this place")
        }
    }
}
