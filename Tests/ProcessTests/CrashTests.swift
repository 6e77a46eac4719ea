import Foundation
import Synchronization
import T4Conformance
import Testing

/// Goal: what the server has acknowledged survives its sudden end, and nothing else appears. Method: many clients
/// write while the server is killed with signal 9 after a random number of acknowledgements; after each restart
/// every acknowledged write, every version and the whole history are compared with what the clients know.
struct CrashTests {
    @Test(arguments: try await TestEnvironment.subjectsOfCrashTests())
    func acknowledgedWritesSurviveKill(_ kind: ServerUnderTest.Kind) async throws {
        let seed = TestEnvironment.seed
        let rounds = TestEnvironment.rounds(default: 4, slow: 200)
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let data = folder.appending(path: "data")
                var generator = SeededGenerator(seed: seed)
                var history = History(Load(writers: 64, seed: seed))
                for round in 1...rounds {
                    let context = "\(kind), seed \(seed), round \(round)"
                    if Int.random(in: 0..<3, using: &generator) == 0 {
                        try await killDuringStart(kind, data, waitsForOutput: Bool.random(using: &generator))
                    }
                    let server = try await ServerUnderTest.start(kind, dataDirectory: data)
                    let count = Int.random(in: 1...600, using: &generator)
                    let compacts = Int.random(in: 0..<3, using: &generator) == 0
                    let seen = try await runAndKill(server, &history, until: count, compacts: compacts)

                    let restarted = try await ServerUnderTest.start(kind, dataDirectory: data)
                    do {
                        try await history.check(restarted, seen: seen, context)
                    } catch {
                        Issue.record("\(context): \(error)")
                    }
                    await restarted.crash()
                }
            }
        }
    }

    /// Loads the server, kills it and returns what a watch had shown until then.
    private func runAndKill(
        _ server: ServerUnderTest, _ history: inout History, until count: Int, compacts: Bool,
    ) async throws -> [Change] {
        let client = try await EtcdClient.connect(to: server)
        let watch = try client.watch(from: 0)
        try await watch.untilCreated()
        let compaction = Observed<(revision: Int64, isAcknowledged: Bool)?>(nil)
        try await history.load.run(on: server, until: count) {
            if compacts {
                // The kill comes while the server removes old versions.
                let revision = try await client.all().revision
                let isAcknowledged = (try? await client.compact(to: revision)) != nil
                compaction.update { $0 = (revision, isAcknowledged) }
            }
            await server.crash()
        }
        if let done = compaction.value {
            history.noteCompaction(to: done.revision, isAcknowledged: done.isAcknowledged)
        }
        return watch.content.value.changes
    }

    private func killDuringStart(_ kind: ServerUnderTest.Kind, _ data: URL, waitsForOutput: Bool) async throws {
        let process = try ServerUnderTest.launch(kind, dataDirectory: data)
        if waitsForOutput {
            let stream = kind == .etcd ? process.errors : process.output
            _ = try await stream.wait(for: "a first word") { $0.bytes.isEmpty && !$0.ended ? nil : true }
        }
        await process.destroy()
    }

    /// SIGTERM: what is under way is answered or fails, nothing acknowledged is lost, and it takes no 5 seconds even
    /// with watches that nobody closes.
    @Test(arguments: try await TestEnvironment.subjectsOfCrashTests())
    func stopsSoonAndLosesNothing(_ kind: ServerUnderTest.Kind) async throws {
        let seed = TestEnvironment.seed
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let data = folder.appending(path: "data")
                var history = History(Load(writers: 64, seed: seed))
                let server = try await ServerUnderTest.start(kind, dataDirectory: data)
                let client = try await EtcdClient.connect(to: server)
                let watches = try (0..<20).map { _ in try client.watch(from: 0) }
                for watch in watches { try await watch.untilCreated() }
                try await history.load.run(on: server, until: 500) {
                    let status = try await server.stop(within: .seconds(5))
                    if kind != .etcd { #expect(status == .code(0)) }
                }
                let restarted = try await ServerUnderTest.start(kind, dataDirectory: data)
                try await history.check(restarted, seen: watches[0].content.value.changes, "\(kind), seed \(seed)")
                await restarted.crash()
            }
        }
    }
}

extension TestEnvironment {
    /// The subject; t4 with each of its engines, also the one that keeps nothing itself, so that everything comes from
    /// the log.
    static func subjectsOfCrashTests() async throws -> [ServerUnderTest.Kind] {
        guard subject == .t4(engine: nil) else { return [subject] }
        return try await engines().map { .t4(engine: $0) }
    }
}
