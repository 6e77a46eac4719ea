import Foundation
import T4Conformance
import Testing

// Commands that are killed, while a node goes on beside them.

extension KillRun {
    func killCollection() async throws {
        let arguments = ["gc"] + flags() + ["--keep", "1", "--retain", "0"]
        try await besideNode(KillRun.often) { _ in
            let held = try await killCommand(arguments)
            let (status, text) = try await again(held) { try await t4(arguments) }
            // One that a step of the first overtakes gives up; it may be run again.
            let isOvertaken = kill.ending == .landsBetween && text.contains("another collection began")
            #expect(status == .code(0) || isOvertaken, "\(text)")
            try await land(held)
            try await waitForCheckpoints(2)
            try await succeed(arguments)
        }
    }

    func killRestore() async throws {
        let restored = directory("restored")
        let arguments = ["restore", "checkpoint"] + flags() + ["--to-end", "--data-dir", restored.path]
        try await besideNode(KillRun.once) { client in
            let held = try await killCommand(arguments)
            #expect(!FileManager.default.fileExists(atPath: restored.path), "\(context("after the kill"))")
            try await succeed(arguments)
            try await land(held)
            let names = try FileManager.default.contentsOfDirectory(atPath: directory(".").path)
            #expect(!names.contains { $0.contains("restoring") }, "\(names)")

            let server = try await ServerUnderTest.start(.t4(engine: nil), dataDirectory: restored)
            try await expect(server, likeParentOf: client)
            await server.crash()
        }
    }

    func killFork() async throws {
        let id = ["--branch-id", "staging"]
        try await besideNode(KillRun.often) { client in
            let held = try await killCommand(["branch", "fork"] + flags() + id)
            var printed = try await again(held) { try await t4(["branch", "fork"] + flags() + id) }
            if printed.status != .code(0) {
                // The pin is there, and only that: what it was to be checked against nobody knows any more.
                #expect(printed.text.contains("branches/staging exists already and pins checkpoint/"), "\(printed)")
                try await succeed(["branch", "unfork"] + flags() + id)
                printed = try await t4(["branch", "fork"] + flags() + id)
            }
            try #require(printed.status == .code(0), "\(printed)")
            try await land(held)
            let list = try await succeed(["branch", "list"] + flags())
            // A pin that lands beside another one keeps more than it need.
            let pins = list.split(separator: "\n").dropFirst()
            #expect(pins.count == 1 || pins.count == 2 && kill.ending == .landsLate, "\(list)")
            #expect(pins.allSatisfy { $0.hasPrefix("staging ") }, "\(list)")

            // What the branch begins with is kept.
            try await waitForCheckpoints(2)
            try await succeed(["gc"] + flags() + ["--keep", "1", "--retain", "0"])
            let server = try await start(
                KillRun.once, prefix: "branch/",
                ["--branch-prefix", "t4/", "--branch-checkpoint", String(printed.text.dropLast())],
                in: directory("branch"))
            try await expect(server, likeParentOf: client)
            #expect(try await server.stop() == .code(0))
            try await verify("branch/", at: "the end")
        }
    }

    func killUnfork() async throws {
        let id = ["--branch-id", "staging"]
        try await besideNode(KillRun.often) { _ in
            try await succeed(["branch", "fork"] + flags() + id)
            let held = try await killCommand(["branch", "unfork"] + flags() + id)
            let text = try await again(held) { try await succeed(["branch", "unfork"] + flags() + id) }
            let isThere = kill.ending != .landsAtOnce && kill.ending != .carriedOut
            #expect(text.hasPrefix(isThere ? "branch staging of " : "no branch staging of "), "\(text)")
            try await land(held)
            let list = try await succeed(["branch", "list"] + flags())
            #expect(list.hasPrefix("no branches of "), "\(list)")
            try await succeed(["gc"] + flags() + ["--keep", "1", "--retain", "0"])
        }
    }

    /// Runs commands beside a node under load, which must go on unharmed; then it is killed as well.
    /// - Parameter body: Is given a client of the node.
    private func besideNode(
        _ checkpoints: [String], _ body: @Sendable (_ client: EtcdClient) async throws -> Void,
    ) async throws {
        var history = newHistory()
        try await fill(&history)
        let server = try await startWithCheckpoint(checkpoints)
        try await history.check(server, seen: [], context("before the kill"))
        let client = try await EtcdClient.connect(to: server)
        let watch = try client.watch(from: 0)
        try await watch.untilCreated()
        let acknowledged = Observed(0)
        try await history.load.run(on: server, until: 60, acknowledgements: acknowledged) {
            try await body(client)
            try await waitForMore(acknowledged)
            await server.crash()
        }
        await client.close()
        try await checkSurvival(&history, seen: watch.content.value.changes)
    }

    /// Another server shows what the node had at that revision.
    private func expect(_ server: ServerUnderTest, likeParentOf parent: EtcdClient) async throws {
        let client = try await EtcdClient.connect(to: server)
        let state = try await client.all()
        #expect(try await parent.all(at: state.revision).rows == state.rows, "\(context("what was made"))")
        #expect(!state.rows.isEmpty)
        _ = try await client.put("own", "1")
        await client.close()
    }
}
