import Foundation
import T4Conformance
import Testing

/// Goal: with an object store the disk may go. Method: as in `CrashTests`, but after the kill the data directory is
/// removed, most of the time; the next server, often with another engine, has only the store. Checkpoints come so often
/// that many kills meet one, or a restore.
@Suite(.enabled(if: TestEnvironment.subject != .etcd))
struct LostDiskTests {
    @Test func acknowledgedWritesSurviveTheLossOfTheDisk() async throws {
        let seed = TestEnvironment.seed
        let rounds = TestEnvironment.rounds(default: 6)
        let engines = try await TestEnvironment.engines()
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let data = folder.appending(path: "data")
                let options = [
                    "--store-type", "filesystem", "--store-filesystem-path", folder.appending(path: "store").path,
                    "--store-prefix", "t4/", "--checkpoint-entries", "40",
                ]
                var generator = SeededGenerator(seed: seed)
                var history = History(Load(writers: 32, seed: seed))
                var engine = engines[0]
                for round in 1...rounds {
                    let server = try await ServerUnderTest.start(
                        .t4(engine: engine), dataDirectory: data, options: options)
                    let count = Int.random(in: 1...400, using: &generator)
                    let client = try await EtcdClient.connect(to: server)
                    let watch = try client.watch(from: 0)
                    try await watch.untilCreated()
                    try await history.load.run(on: server, until: count) { await server.crash() }

                    let keepsDisk = Int.random(in: 0..<4, using: &generator) == 0
                    if !keepsDisk {
                        try await loseDisk(data, options, engine: &engine, of: engines, &generator)
                    }
                    let context = "\(engine), seed \(seed), round \(round), disk \(keepsDisk ? "kept" : "lost")"
                    let restarted = try await ServerUnderTest.start(
                        .t4(engine: engine), dataDirectory: data, options: options)
                    do {
                        try await history.check(restarted, seen: watch.content.value.changes, context)
                    } catch {
                        Issue.record("\(context): \(error)")
                    }
                    await restarted.crash()
                }
            }
        }
    }

    /// Removes the data directory; sometimes a start that was to fill a new one is killed as well.
    private func loseDisk(
        _ data: URL, _ options: [String], engine: inout String, of engines: [String],
        _ generator: inout SeededGenerator
    ) async throws {
        try FileManager.default.removeItem(at: data)
        engine = engines.randomElement(using: &generator)!
        guard Bool.random(using: &generator) else { return }
        let process = try ServerUnderTest.launch(.t4(engine: engine), dataDirectory: data, options: options)
        let waits = Bool.random(using: &generator)
        if waits {
            _ = try await process.errors.wait(for: "a first word") { $0.bytes.isEmpty && !$0.ended ? nil : true }
        }
        await process.destroy()
    }
}
