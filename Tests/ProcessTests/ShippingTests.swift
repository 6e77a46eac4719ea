import Foundation
import T4Conformance
import Testing

/// Goal: a copy of a database follows it by pieces of its log, entry by entry, whatever comes twice, is missing, is damaged or is killed.
/// Method: the real commands between real servers, on every engine.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"), .timeLimit(.minutes(20)))
struct ShippingTests {
    private struct Shipped: Decodable {
        var revision: Int64
        var entries: Int64
        var database: String
    }

    private struct Replayed: Decodable {
        var revision: Int64
        var entries: Int64
        var entries_from_store: Int64
        var shipped_revision: Int64
    }

    private struct BackedUp: Decodable {
        var revision: Int64
    }

    /// A directory with a node in it, and one that was made of its backup.
    private struct Pair: Sendable {
        var folder: URL
        var primary: ServerUnderTest
        var client: EtcdClient
        /// Of the backup.
        var revision: Int64

        var source: URL { folder.appending(path: "primary") }
        var copy: URL { folder.appending(path: "copy") }

        init(in folder: URL, engine: String? = nil, copyEngine: String? = nil, options: [String] = []) async throws {
            self.folder = folder
            primary = try await ServerUnderTest.start(
                .t4(engine: engine), dataDirectory: folder.appending(path: "primary"), options: options)
            client = try await EtcdClient.connect(to: primary)
            for number in 0..<10 { _ = try await client.put("key\(number)", "from before") }
            let file = folder.appending(path: "backup").path
            let backup: BackedUp = try await CommandRun.report([
                "backup", "--endpoint", primary.address, "--output", file,
            ])
            revision = backup.revision
            let engine = copyEngine.map { ["--engine", $0] } ?? []
            let outcome = try await CommandRun.run(["restore", copy.path, "--input", file] + engine)
            try #require(outcome.status == .code(0), "\(outcome.errors)")
        }

        /// Ships what is behind a revision.
        func ship(after: Int64, as name: String) async throws -> (path: String, report: Shipped) {
            let path = folder.appending(path: name).path
            return (
                path,
                try await CommandRun.report(
                    ["ship", "--data-dir", source.path, "--after", "\(after)", "--output", path])
            )
        }

        func replay(_ file: String, _ more: [String] = []) async throws -> Replayed {
            try await CommandRun.report(["replay", copy.path, "--input", file] + more)
        }

        func stop() async throws {
            await client.close()
            #expect(try await primary.stop() == .code(0))
        }
    }

    private func pair(
        engine: String? = nil, copyEngine: String? = nil, options: [String] = [],
        _ body: @escaping @Sendable (Pair) async throws -> Void
    ) async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let pair = try await Pair(in: folder, engine: engine, copyEngine: copyEngine, options: options)
                try await body(pair)
                try await pair.stop()
            }
        }
    }

    /// Looks what the copy holds, once a node serves it as a database of its own.
    private func expect(_ pair: Pair, holds expected: DatabaseState?, engine: String? = nil) async throws {
        let server = try await ServerUnderTest.start(
            .t4(engine: engine), dataDirectory: pair.copy, options: ["--store-type", "none"])
        let client = try await EtcdClient.connect(to: server)
        let state = try await client.all()
        if let expected { #expect(state.revision == expected.revision && state.rows == expected.rows) }
        // A database of its own goes on.
        #expect(try await client.put("next", "one") == state.revision + 1)
        await client.close()
        #expect(try await server.stop() == .code(0))
    }

    @Test func aCopyFollowsOnEveryEngine() async throws {
        let engines = try await TestEnvironment.engines().filter { $0 != "memory" }
        var random = SeededGenerator(seed: TestEnvironment.seed)
        for (number, engine) in engines.enumerated() {
            let other = engines[(number + 1) % engines.count]
            let start = random.next()
            try await pair(engine: engine, copyEngine: other) { pair in
                var seed = SeededGenerator(seed: start)
                var done = pair.revision
                for round in 0..<4 {
                    for index in 0..<Int.random(in: 1...40, using: &seed) {
                        let key = "key\(Int.random(in: 0..<15, using: &seed))"
                        _ = try await pair.client.put(key, String(repeating: "\(round)", count: 20_000))
                        if index % 7 == 6 { _ = try await pair.client.delete(key) }
                    }
                    // Pieces overlap, and come twice.
                    let piece = try await pair.ship(
                        after: max(pair.revision, done - Int64.random(in: 0...5, using: &seed)), as: "piece\(round)")
                    for _ in 0..<3 {
                        _ = try await CommandRun.killed(["replay", pair.copy.path, "--input", piece.path], &seed)
                    }
                    let replayed = try await pair.replay(piece.path)
                    #expect(
                        replayed.revision == piece.report.revision && replayed.shipped_revision == replayed.revision)
                    let again = try await pair.replay(piece.path)
                    #expect(again.entries == 0 && again.revision == replayed.revision)
                    done = replayed.revision
                }
                let expected = try await pair.client.all()
                #expect(expected.revision == done)
                try await expect(pair, holds: expected, engine: other)
            }
        }
    }

    /// Up to a revision or a time, which is never passed, whichever pieces come.
    @Test func aReplayStopsWhereItIsTold() async throws {
        try await pair { pair in
            for number in 0..<10 { _ = try await pair.client.put("a\(number)", "x") }
            let first = try await pair.ship(after: pair.revision, as: "first")
            let middle = ISO8601DateFormatter()
            middle.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
            let target = pair.revision + 4
            #expect(try await pair.replay(first.path, ["--until", "\(target)"]).revision == target)
            let time = middle.string(from: Date() + 1)
            for number in 0..<10 { _ = try await pair.client.put("b\(number)", "x") }
            let second = try await pair.ship(after: first.report.revision, as: "second")
            // What begins behind the target is no gap.
            #expect(try await pair.replay(second.path, ["--until", "\(target)"]).entries == 0)
            #expect(try await pair.replay(first.path, ["--until", "2001-01-01T00:00:00Z"]).revision == target)
            #expect(try await pair.replay(first.path, ["--until", time]).revision == first.report.revision)
            #expect(try await pair.replay(second.path).revision == second.report.revision)
            let expected = try await pair.client.all()
            try await expect(pair, holds: expected)
        }
    }

    @Test func aGapIsRefusedAndHealedFromTheStore() async throws {
        try await withTemporaryDirectory { store in
            let flags = ["--store-type", "filesystem", "--store-filesystem-path", store.path]
            try await pair(options: flags + ["--wal-durability", "object-store"]) { pair in
                for number in 0..<10 { _ = try await pair.client.put("missing\(number)", "x") }
                let lost = try await pair.ship(after: pair.revision, as: "lost")
                for number in 0..<10 { _ = try await pair.client.put("shipped\(number)", "x") }
                let piece = try await pair.ship(after: lost.report.revision, as: "piece")
                let refused = try await CommandRun.run(["replay", pair.copy.path, "--input", piece.path])
                #expect(refused.status == .code(3) && refused.errors.contains("are missing"), "\(refused.errors)")
                let unchanged = try await pair.replay(lost.path, ["--until", "\(pair.revision)"])
                #expect(unchanged.revision == pair.revision)
                let other = store.appending(path: "other")
                try FileManager.default.createDirectory(at: other, withIntermediateDirectories: false)
                try await CommandRun.expect(
                    ["replay", pair.copy.path, "--input", piece.path, "--store-type", "filesystem"]
                        + ["--store-filesystem-path", other.path], endsWith: 1, saying: "there is no database")
                let healed = try await pair.replay(piece.path, flags)
                #expect(healed.revision == piece.report.revision && healed.entries_from_store > 0)
                let expected = try await pair.client.all()
                #expect(expected.revision == healed.revision)
                try await expect(pair, holds: expected)
                // And from the store alone.
                let path = pair.folder.appending(path: "from-store").path
                let fromStore: Shipped = try await CommandRun.report(
                    ["ship", "--after", "\(pair.revision)", "--output", path] + flags)
                #expect(fromStore.revision == expected.revision && fromStore.entries >= 20)
            }
        }
    }

    @Test func whatDoesNotFitIsRefused() async throws {
        try await pair(options: ["--store-type", "none"]) { pair in
            for number in 0..<5 { _ = try await pair.client.put("a\(number)", "x") }
            let piece = try await pair.ship(after: pair.revision, as: "piece")
            let bytes = try Data(contentsOf: URL(filePath: piece.path))
            let changed = pair.folder.appending(path: "changed")
            var random = SeededGenerator(seed: TestEnvironment.seed)
            for _ in 0..<8 {
                var copy = bytes
                copy[copy.startIndex + Int.random(in: 0..<copy.count, using: &random)] ^= 1
                try copy.write(to: changed)
                let outcome = try await CommandRun.run(["replay", pair.copy.path, "--input", changed.path])
                #expect(outcome.status == .code(1), "\(outcome.errors)")
            }
            try bytes.dropLast(3).write(to: changed)
            try await CommandRun.expect(
                ["replay", pair.copy.path, "--input", changed.path], endsWith: 1, saying: "is cut off")
            let backup = pair.folder.appending(path: "backup").path
            try await CommandRun.expect(
                ["replay", pair.copy.path, "--input", backup], endsWith: 1, saying: "a backup and no piece of the log")
            try await CommandRun.expect(
                ["restore", "\(changed.path)-new", "--input", piece.path], endsWith: 1, saying: "a piece of the log")
            try await CommandRun.expect(
                ["replay", "\(changed.path)-none", "--input", piece.path], endsWith: 1,
                saying: "is not a data directory")
            try await CommandRun.expect(
                ["replay", pair.copy.path, "--input", piece.path, "--until", "soon"], endsWith: 64, saying: "is no time"
            )
            try await CommandRun.expect(
                ["replay", pair.source.path, "--input", piece.path], endsWith: 1, saying: "in use")
            try await CommandRun.expect(["ship"], endsWith: 64, saying: "say whose log to ship")
            try await CommandRun.expect(
                ["ship", "--data-dir", pair.source.path, "--after", "999"], endsWith: 1, saying: "nothing is behind")
            // Whoever served it as a database of its own cannot follow any more.
            try await expect(pair, holds: nil)
            try await CommandRun.expect(
                ["replay", pair.copy.path, "--input", piece.path], endsWith: 1, saying: "cannot follow it any more")
        }
    }

    /// A restored copy has its state in its engine alone: one that was open when the machine went down is refused, not taken for an
    /// empty one, and a refused replay leaves it closed.
    @Test func whatAMachineLostIsNoticed() async throws {
        try await pair(options: ["--store-type", "none"]) { pair in
            for number in 0..<5 { _ = try await pair.client.put("a\(number)", "x") }
            let late = try await pair.ship(after: pair.revision + 2, as: "late")
            let piece = try await pair.ship(after: pair.revision, as: "piece")
            let state = pair.copy.appending(path: "engine/state")
            /// The machine is started again.
            func reboot() throws {
                let text = try String(contentsOf: state, encoding: .utf8)
                let lines = text.split(separator: "\n").map { $0.hasPrefix("boot ") ? "boot another" : String($0) }
                try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: state)
            }
            let gap = try await CommandRun.run(["replay", pair.copy.path, "--input", late.path])
            #expect(gap.status == .code(3), "\(gap.errors)")
            try reboot()
            #expect(try await pair.replay(piece.path).revision == piece.report.revision)
            try reboot()
            // The engine, but for the log.
            try FileManager.default.removeItem(at: pair.copy.appending(path: "wal"))
            let text = try String(contentsOf: state, encoding: .utf8)
            try Data(text.replacingOccurrences(of: "closed clean", with: "closed open").utf8).write(to: state)
            let run = ["run", "--data-dir", pair.copy.path, "--listen", "127.0.0.1:0", "--store-type", "none"]
            try await CommandRun.expect(run + ["--read-replica"], endsWith: 1, saying: "restore it again")
            try await CommandRun.expect(run, endsWith: 1, saying: "restore it again")
            try await CommandRun.expect(
                ["replay", pair.copy.path, "--input", piece.path], endsWith: 1, saying: "restore it again")
        }
    }

    /// Two histories of one database.
    @Test func anotherHistoryIsRefused() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let (first, second) = (folder.appending(path: "first"), folder.appending(path: "second"))
                let third = folder.appending(path: "third")
                let options = ["--store-type", "none"]
                func write(_ data: URL, _ key: String, count: Int = 4) async throws {
                    let server = try await ServerUnderTest.start(
                        .t4(engine: nil), dataDirectory: data, options: options)
                    let client = try await EtcdClient.connect(to: server)
                    for number in 0..<count { _ = try await client.put("\(key)\(number)", "x") }
                    await client.close()
                    #expect(try await server.stop() == .code(0))
                }
                try await write(first, "common")
                try FileManager.default.copyItem(at: first, to: second)
                try FileManager.default.copyItem(at: first, to: third)
                try await write(first, "mine")
                try await write(second, "yours")
                try await write(second, "more")
                let piece = folder.appending(path: "piece").path
                // Both had a term of the same number, in which they gave the same positions.
                for after in ["0", "5", "6", "9"] {
                    let _: Shipped = try await CommandRun.report(
                        ["ship", "--data-dir", second.path, "--after", after, "--output", piece])
                    try await CommandRun.expect(
                        ["replay", first.path, "--input", piece], endsWith: 1, saying: "is another one here")
                }
                // A restored copy has no log to compare with, and knows the term of its last entry.
                try await write(third, "none", count: 0)
                try await write(third, "others")
                try await write(third, "more")
                let backup = folder.appending(path: "backup").path
                let restored = folder.appending(path: "restored").path
                for arguments in [
                    ["backup", "--data-dir", first.path, "--output", backup], ["restore", restored, "--input", backup],
                ] {
                    let outcome = try await CommandRun.run(arguments)
                    #expect(outcome.status == .code(0), "\(outcome.errors)")
                }
                for after in ["0", "2", "6"] {
                    let _: Shipped = try await CommandRun.report(
                        ["ship", "--data-dir", third.path, "--after", after, "--output", piece])
                    try await CommandRun.expect(
                        ["replay", restored, "--input", piece], endsWith: 1, saying: "is another one here")
                }
                let piece2: Shipped = try await CommandRun.report(
                    ["ship", "--data-dir", second.path, "--output", piece])
                let own = try await CommandRun.run(["replay", second.path, "--input", piece, "--json"])
                let replayed = try JSONDecoder().decode(Replayed.self, from: Data(own.output))
                #expect(replayed.entries == 0 && replayed.revision == piece2.revision)
            }
        }
    }
}
