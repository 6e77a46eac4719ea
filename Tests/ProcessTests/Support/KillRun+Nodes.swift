import Foundation
import T4Conformance
import Testing

// Nodes that are killed.

extension KillRun {
    func killNode() async throws {
        var history = newHistory()
        let server = try await start(KillRun.often)
        let (held, seen) = try await kill(server, under: &history, after: 30) { try await arm() }
        try await goOn(&history, held, seen: seen)
    }

    func killCollectingNode() async throws {
        var history = newHistory()
        try await fill(&history)
        // Its collection follows its first checkpoint.
        let trap = try await arm()
        let server = try await start(KillRun.often, collects: true)
        try await history.check(server, seen: [], context("before the kill"))
        let (held, seen) = try await kill(server, under: &history, after: 1) { trap }
        try await goOn(&history, held, seen: seen)
    }

    func killFirstStart() async throws {
        var history = newHistory()
        let held = try await killStart(KillRun.often)
        try await goOn(&history, held, seen: nil)
    }

    func killRefill() async throws {
        var history = newHistory()
        try await fill(&history)
        try remove(data)
        let held = try await killStart(KillRun.often)
        try await goOn(&history, held, seen: [])
    }

    /// Makes a database with some checkpoints, and objects of the log behind the last one; no node runs in the end.
    func fill(_ history: inout History) async throws {
        let first = try await start(KillRun.often)
        try await history.load.run(on: first, until: 1) {
            try await waitForCheckpoints(3)
            await first.crash()
        }
        let second = try await startWithCheckpoint(KillRun.once)
        try await history.check(second, seen: [], context("before the kill"))
        try await history.load.run(on: second, until: 60) { await second.crash() }
    }

    /// Kills a node at the kill point, while others write.
    /// - Returns: The request, and what a watch was shown.
    private func kill(
        _ server: ServerUnderTest, under history: inout History, after count: Int,
        _ arm: @Sendable () async throws -> RequestTrap,
    ) async throws -> (RequestTrap, [Change]) {
        let client = try await EtcdClient.connect(to: server)
        let watch = try client.watch(from: 0)
        try await watch.untilCreated()
        let held = Observed<RequestTrap?>(nil)
        try await history.load.run(on: server, until: count) {
            let trap = try await spring(try await arm(), server.process)
            held.update { $0 = trap }
        }
        await client.close()
        return (try #require(held.value), watch.content.value.changes)
    }

    /// A node goes on after the kill: it has all that was acknowledged, takes writes, and makes checkpoints.
    /// - Parameter seen: What a watch was shown before; nil where there is no database for certain.
    private func goOn(_ history: inout History, _ held: RequestTrap, seen: [Change]?) async throws {
        if seen != nil { try await verify(at: "after the kill") }
        try lose(data)
        let before = history
        history = try await again(held) {
            var history = before
            let server = try await startAgain { try await start(KillRun.often) }
            try await history.check(server, seen: seen ?? [], context("after the kill"))
            let acknowledged = Observed(0)
            try await history.load.run(on: server, until: 20, acknowledgements: acknowledged) {
                try await land(held)
                try await waitForCheckpoints(3)
                try await waitForMore(acknowledged)
                await server.crash()
            }
            return history
        }
        try await checkStore(&history)
    }

    /// Waits until a server has acknowledged some more writes.
    func waitForMore(_ acknowledged: Observed<Int>) async throws {
        let count = acknowledged.value + 20
        _ = try await acknowledged.wait(for: "\(count) acknowledgements") { $0 >= count ? true : nil }
    }

    // MARK: - New databases

    func killBranchStart() async throws {
        let (parent, place) = try await fillBehindCheckpoint()
        let printed = try await succeed(["branch", "fork"] + flags() + ["--branch-id", "staging"] + place)
        try await killBeginning(
            "branch/", ["--branch-prefix", "t4/", "--branch-checkpoint", String(printed.dropLast())], with: parent)
        try await verify(at: "the end")
    }

    func killPromotion() async throws {
        let (parent, place) = try await fillBehindCheckpoint()
        try await succeed(["restore", "checkpoint"] + flags() + ["--data-dir", directory("new/").path] + place)
        try await killBeginning("new/", [], with: parent)
    }

    /// Kills the first node of a database that begins with the state of another one.
    private func killBeginning(
        _ prefix: String, _ flags: [String], with parent: DatabaseState,
    ) async throws {
        let data = directory(prefix)
        let held = try await killStart(KillRun.once, prefix: prefix, flags, in: data)
        try lose(data)
        let start: @Sendable () async throws -> ServerUnderTest = {
            try await self.start(KillRun.once, prefix: prefix, flags, in: data)
        }
        let state = try await again(held) {
            let server = try await startAgain(start)
            let client = try await EtcdClient.connect(to: server)
            #expect(try await client.all().rows == parent.rows, "\(context("after the kill"))")
            let revision = try await client.put("own", "first")
            #expect(revision == parent.revision + 1)
            try await land(held)
            _ = try await client.put("own", "second")
            let state = try await client.all()
            await client.close()
            await server.crash()
            return state
        }
        try await verify(prefix, at: "after the second start")

        try remove(data)
        let server = try await start()
        let client = try await EtcdClient.connect(to: server)
        #expect(try await client.all().rows == state.rows, "\(context("from the store"))")
        _ = try await client.put("own", "third")
        await client.close()
        #expect(try await server.stop() == .code(0))
        try await verify(prefix, at: "the end")
    }

    /// Makes a database whose log goes on behind its newest checkpoint; no node runs in the end.
    /// - Returns: Its last state, and the flags that name that.
    private func fillBehindCheckpoint() async throws -> (DatabaseState, flags: [String]) {
        var state = DatabaseState(revision: 0, rows: [])
        for run in 1...2 {
            let server = try await startWithCheckpoint(KillRun.once)
            let client = try await EtcdClient.connect(to: server)
            for number in 0..<5 {
                _ = try await client.putAll((0..<10).map { ("key\($0)", "\(run) \(number)") })
            }
            state = try await client.all()
            await client.close()
            #expect(try await server.stop() == .code(0))
        }
        return (state, ["--to-revision", "\(state.revision)"])
    }
}
