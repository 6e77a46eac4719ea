import Foundation
import T4Conformance
import Testing

/// Goal: an operator gets a database into one file and back, and hears what is in the way. Method: the real commands, on real
/// servers under load, killed in the middle.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"), .timeLimit(.minutes(20)))
struct BackupTests {
    private struct Report: Decodable {
        var revision: Int64
        var database: String
    }

    /// While 64 clients write, a backup is exactly one revision of what they wrote.
    @Test func aBackupUnderLoadIsOneRevision() async throws {
        let engines = try await TestEnvironment.engines().filter { $0 != "memory" }
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                for (number, engine) in engines.enumerated() {
                    let data = folder.appending(path: "data-\(engine)")
                    let server = try await ServerUnderTest.start(.t4(engine: engine), dataDirectory: data)
                    let client = try await EtcdClient.connect(to: server)
                    let file = folder.appending(path: "\(engine).t4bak")
                    let source = number == 0 ? ["--data-dir", data.path] : ["--endpoint", server.address]
                    let written = Observed(0)
                    let report = try await withThrowingTaskGroup(of: Report?.self) { group in
                        let isOver = Observed(false)
                        for writer in 0..<64 {
                            group.addTask {
                                let client = try await EtcdClient.connect(to: server)
                                var count = 0
                                while !isOver.value {
                                    _ = try await client.put("\(writer)/\(count % 5)", "\(count)")
                                    if count % 9 == 8 { _ = try await client.delete("\(writer)/\(count % 5)") }
                                    count += 1
                                    written.update { $0 += 1 }
                                }
                                await client.close()
                                return nil
                            }
                        }
                        group.addTask {
                            defer { isOver.update { $0 = true } }
                            _ = try await written.wait(for: "writes") { $0 >= 300 ? true : nil }
                            let outcome = try await CommandRun.run(
                                ["backup"] + source + ["--output", file.path, "--json"])
                            #expect(outcome.status == .code(0), "\(outcome.errors)")
                            return try JSONDecoder().decode(Report.self, from: Data(outcome.output))
                        }
                        var found: Report?
                        for try await report in group { found = report ?? found }
                        return try #require(found)
                    }
                    let expected = try await client.all(at: report.revision)
                    await client.close()
                    #expect(try await server.stop() == .code(0))

                    let other = engines[(number + 1) % engines.count]
                    let restored = folder.appending(path: "restored-\(engine)")
                    let outcome = try await CommandRun.run([
                        "restore", restored.path, "--input", file.path, "--engine", other, "--json",
                    ])
                    #expect(outcome.status == .code(0), "\(outcome.errors)")
                    let second = try await ServerUnderTest.start(
                        .t4(engine: other), dataDirectory: restored, options: ["--store-type", "none"])
                    let reader = try await EtcdClient.connect(to: second)
                    let state = try await reader.all()
                    #expect(state.revision == report.revision && state.rows == expected.rows)
                    #expect(try await reader.put("next", "one") == report.revision + 1)
                    await reader.close()
                    #expect(try await second.stop() == .code(0))
                }
            }
        }
    }

    @Test func pipesWork() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let data = folder.appending(path: "data")
                let server = try await ServerUnderTest.start(.t4(engine: nil), dataDirectory: data)
                let client = try await EtcdClient.connect(to: server)
                for number in 0..<20 { _ = try await client.put("key\(number)", "value") }
                let state = try await client.all()
                await client.close()
                for source in [["--data-dir", data.path], ["--endpoint", server.endpoint]] {
                    let backup = try await CommandRun.run(["backup"] + source)
                    #expect(backup.status == .code(0) && backup.errors == "backed up revision \(state.revision)\n")
                    let restored = folder.appending(path: "restored-\(source.count)-\(source[0])")
                    let outcome = try await CommandRun.run(["restore", restored.path], input: backup.output)
                    #expect(outcome.status == .code(0), "\(outcome.errors)")
                    let shown = try await CommandRun.run([
                        "inspect", "count", "--data-dir", restored.path, "--prefix", "",
                    ])
                    #expect(String(decoding: shown.output, as: UTF8.self).contains("20"))
                    // Not over it, whatever comes.
                    let again = try await CommandRun.run(["restore", restored.path], input: backup.output)
                    #expect(again.status == .code(1) && again.errors.contains("is not empty"), "\(again.errors)")
                    let cut = try await CommandRun.run(
                        ["restore", restored.path + "-cut"], input: backup.output.dropLast())
                    #expect(cut.status == .code(1) && cut.errors.contains("cut off"), "\(cut.errors)")
                }
                #expect(try await server.stop() == .code(0))
                let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
                #expect(names.count == 3, "\(names)")
            }
        }
    }

    /// Killed at any moment, neither command leaves anything, and nothing that was there is changed.
    @Test func killedCommandsLeaveNothing() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let data = folder.appending(path: "data")
                let server = try await ServerUnderTest.start(.t4(engine: nil), dataDirectory: data)
                let client = try await EtcdClient.connect(to: server)
                let value = String(repeating: "v", count: 100_000)
                for number in 0..<60 { _ = try await client.put("key\(number)", "\(number)" + value) }
                await client.close()
                let target = folder.appending(path: "target")
                try FileManager.default.createDirectory(at: target, withIntermediateDirectories: false)
                let file = target.appending(path: "kept.t4bak")
                try Data("was there".utf8).write(to: file)
                var random = SeededGenerator(seed: TestEnvironment.seed)
                for source in [["--data-dir", data.path], ["--endpoint", server.address]] {
                    for _ in 0..<6 {
                        _ = try await CommandRun.killed(["backup"] + source + ["--output", file.path], &random)
                        #expect(try FileManager.default.contentsOfDirectory(atPath: target.path) == ["kept.t4bak"])
                        let content = try Data(contentsOf: file)
                        #expect(content == Data("was there".utf8) || content.starts(with: Data("T4BACKUP".utf8)))
                        try Data("was there".utf8).write(to: file)
                    }
                }
                let backup = try await CommandRun.run(["backup", "--data-dir", data.path, "--output", file.path])
                #expect(backup.status == .code(0))
                let restored = target.appending(path: "restored")
                for _ in 0..<6 {
                    let status = try await CommandRun.killed(
                        ["restore", restored.path, "--input", file.path], &random)
                    if status == .code(0) { try FileManager.default.removeItem(at: restored) }
                    #expect(!FileManager.default.fileExists(atPath: restored.path))
                }
                let last = try await CommandRun.run(["restore", restored.path, "--input", file.path])
                #expect(last.status == .code(0), "\(last.errors)")
                #expect(
                    try FileManager.default.contentsOfDirectory(atPath: target.path).sorted() == [
                        "kept.t4bak", "restored",
                    ])
                #expect(try await server.stop() == .code(0))
                // The node lets the files go that it made for clients which are gone.
                #expect(!FileManager.default.fileExists(atPath: data.appending(path: "snapshot.tmp").path))
            }
        }
    }

    @Test func whatIsInTheWayIsSaid() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let nowhere = folder.appending(path: "nowhere").path
                try await CommandRun.expect(["backup"], endsWith: 64, saying: "say what to back up")
                try await CommandRun.expect(
                    ["backup", "--endpoint", "nothing"], endsWith: 64, saying: "nothing is no address")
                try await CommandRun.expect(
                    ["backup", "--endpoint", "127.0.0.1:1", "--to-end"], endsWith: 64, saying: "goes with no target")
                try await CommandRun.expect(
                    ["backup", "--data-dir", nowhere, "--json"], endsWith: 64, saying: "--json needs --output FILE")
                try await CommandRun.expect(
                    ["backup", "--data-dir", nowhere, "--output", "\(nowhere)/file"], endsWith: 1, saying: "nowhere")
                let etcd = try await ServerUnderTest.start(.etcd, dataDirectory: folder.appending(path: "etcd"))
                try await CommandRun.expect(
                    ["backup", "--endpoint", etcd.address], endsWith: 1,
                    saying: "is no node of t4; etcdctl snapshot save")
                _ = try await etcd.stop()
                let text = folder.appending(path: "text")
                try Data("no backup".utf8).write(to: text)
                try await CommandRun.expect(
                    ["restore", nowhere, "--input", text.path], endsWith: 1, saying: "\(text.path) is no backup of t4")
                try await CommandRun.expect(
                    ["restore", nowhere, "--input", nowhere], endsWith: 1, saying: "No such file or directory")
                try await CommandRun.expect(
                    ["restore", nowhere, "--data-dir", nowhere, "--input", text.path], endsWith: 64,
                    saying: "name the directory once")
                #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() == ["etcd", "text"])
            }
        }
    }
}
