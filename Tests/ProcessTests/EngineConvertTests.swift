import Foundation
import T4Conformance
import Testing

/// Goal: an operator changes the engine of a data directory without losing anything, and is never led to lose it.
/// Method: the real command between all engines of the binary that keep something on disk, also killed on its way.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct EngineConvertTests {
    private struct Report: Decodable {
        var from: String
        var to: String
        var rows: Int
        var bytes: Int
        var seconds: Double
        var data_dir: String
        var engine_dir: String
        var size_before: Int
        var size_after: Int
    }

    private func t4(_ arguments: String...) throws -> ChildProcess {
        try ChildProcess(TestEnvironment.t4Binary(), arguments, environment: TestEnvironment.forChildren)
    }

    /// The engines of the binary that keep something on disk.
    private func enginesOnDisk() async throws -> [String] {
        try await TestEnvironment.engines().filter { $0 != "memory" }
    }

    /// Fills a directory on that engine and returns what is in it.
    private func fill(_ data: URL, _ engine: String) async throws -> [Change] {
        let server = try await ServerUnderTest.start(.t4(engine: engine), dataDirectory: data)
        let client = try await EtcdClient.connect(to: server)
        for number in 0..<200 {
            _ = try await client.put("key\(number % 150)", String(repeating: "value \(number) ", count: number * 5))
        }
        _ = try await client.delete("key149")
        let rows = try await client.all().rows
        await client.close()
        #expect(try await server.stop() == .code(0))
        return rows
    }

    private func rows(_ data: URL, _ engine: String) async throws -> [Change] {
        let server = try await ServerUnderTest.start(.t4(engine: engine), dataDirectory: data)
        let client = try await EtcdClient.connect(to: server)
        let rows = try await client.all().rows
        await client.close()
        #expect(try await server.stop() == .code(0))
        return rows
    }

    /// The type and the generation that `engine/state` names.
    private func state(_ data: URL) throws -> (type: String, generation: Int) {
        let text = try String(contentsOf: data.appending(path: "engine/state"), encoding: .utf8)
        let type = try #require(text.firstMatch(of: /(?m)^type (?<type>.+)$/))
        let generation = try #require(text.firstMatch(of: /(?m)^generation (?<number>[0-9]+)$/))
        return (String(type.type), try #require(Int(generation.number)))
    }

    @Test func everythingIsThereOnTheNewEngine() async throws {
        let engines = try await enginesOnDisk()
        for from in engines {
            for to in engines {
                try await withTemporaryDirectory { folder in
                    let data = folder.appending(path: "data")
                    let before = try await fill(data, from)
                    let convert = try t4("engine", "convert", "--to", to, "--data-dir", data.path, "--json")
                    #expect(try await convert.wait() == .code(0), "\(convert.errors.value)")
                    let report = try JSONDecoder().decode(Report.self, from: Data(convert.output.value.bytes))
                    #expect(report.from == from && report.to == to && report.data_dir == data.path)
                    #expect(report.engine_dir == data.path + "/engine/2")
                    #expect(report.rows >= 400 && report.bytes > 100_000 && report.seconds > 0)
                    #expect(report.size_before > 0 && report.size_after > 0)
                    #expect(try await rows(data, to) == before, "\(from) to \(to)")
                }
            }
        }
    }

    @Test func aTextForPeopleNamesTheSame() async throws {
        guard let engine = try await enginesOnDisk().first else { return }
        try await withTemporaryDirectory { folder in
            let data = folder.appending(path: "data")
            _ = try await fill(data, engine)
            let file = folder.appending(path: "t4.toml")
            let text = "[node]\ndata_dir = \"\(data.path)\"\n[engine]\ntype = \"memory\"\n"
            try text.write(to: file, atomically: true, encoding: .utf8)
            let convert = try t4("engine", "convert", "--to", engine, "--config", file.path)
            #expect(try await convert.wait() == .code(0), "\(convert.errors.value)")
            let said = convert.output.value.description
            for part in [data.path, "\(engine) -> \(engine)", "Rows:", "Bytes:", "Time:", " ms"] {
                #expect(said.contains(part), "no '\(part)' in: \(said)")
            }
            #expect(convert.errors.value.description.contains("set engine.type to \"\(engine)\""))
        }
    }

    @Test func whatWouldLoseSomethingIsRefused() async throws {
        guard let engine = try await enginesOnDisk().first else { return }
        try await withTemporaryDirectory { folder in
            let data = folder.appending(path: "data")
            let before = try await fill(data, engine)
            func refusal(_ arguments: [String]) async throws -> String {
                let process = try ChildProcess(
                    TestEnvironment.t4Binary(), arguments + ["--data-dir", data.path],
                    environment: TestEnvironment.forChildren)
                #expect(try await process.wait() == .code(1))
                #expect(process.output.value.bytes.isEmpty)
                return process.errors.value.description
            }
            // Another engine in the configuration than in the directory.
            let mismatch = try await refusal(["run", "--listen", "127.0.0.1:0", "--engine", "memory"])
            for part in [
                "holds an engine \"\(engine)\"", "names \"memory\"",
                "t4 engine convert --to memory --data-dir \(data.path)",
            ] { #expect(mismatch.contains(part), "no '\(part)' in: \(mismatch)") }
            // An engine that keeps nothing.
            let volatile = try await refusal(["engine", "convert", "--to", "memory"])
            #expect(volatile.contains("the engine \"memory\" keeps nothing on disk"), "\(volatile)")
            // A node at work.
            let server = try await ServerUnderTest.start(.t4(engine: engine), dataDirectory: data)
            let inUse = try await refusal(["engine", "convert", "--to", engine])
            #expect(inUse.contains("is in use by another t4 process (pid \(server.process.pid))"), "\(inUse)")
            #expect(try await server.stop() == .code(0))
            #expect(try await rows(data, engine) == before)
        }
    }

    /// Wherever it is killed, one of both engines is in use, whole, and the next start tidies up.
    @Test func aKilledConversionLosesNothing() async throws {
        let engines = try await enginesOnDisk()
        guard let first = engines.first else { return }
        try await withTemporaryDirectory { folder in
            let data = folder.appending(path: "data")
            let before = try await fill(data, first)
            var generator = SeededGenerator(seed: TestEnvironment.seed)
            for round in 1...TestEnvironment.rounds(default: 8) {
                let context = "seed \(TestEnvironment.seed), round \(round)"
                let (type, generation) = try state(data)
                let to = try #require(engines.randomElement(using: &generator))
                let next = data.appending(path: "engine/\(generation + 1)").path
                let convert = try t4("engine", "convert", "--to", to, "--data-dir", data.path)
                // Nothing tells how far it is but what it leaves on disk.
                let stage = Int.random(in: 0..<4, using: &generator)
                let isReached: () throws -> Bool = {
                    switch stage {
                    case 0: true
                    case 1: FileManager.default.fileExists(atPath: next)
                    case 2:
                        FileManager.default.fileExists(atPath: next)
                            && (try? FileManager.default.contentsOfDirectory(atPath: next))?.isEmpty == false
                    default: try state(data).generation > generation
                    }
                }
                while convert.isRunning, try !isReached() { await Task.yield() }
                await convert.destroy()
                let after = try state(data)
                #expect(after.type == (after.generation == generation ? type : to), "\(context)")
                #expect(try await rows(data, after.type) == before, "\(context)")
                let left = try FileManager.default.contentsOfDirectory(atPath: data.path + "/engine").sorted()
                #expect(left == ["\(after.generation)", "state"], "\(context)")
            }
        }
    }
}
