import Foundation
import T4Conformance
import Testing

/// Goal: what the configuration says counts, what is wrong with it is said, and a running node takes over what it can.
/// Method: whole processes.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct ConfigurationTests {
    private static func t4(_ arguments: String..., environment: [String: String] = [:]) throws -> ChildProcess {
        try ChildProcess(
            TestEnvironment.t4Binary(), arguments, environment: TestEnvironment.forChildren.merging(environment) { $1 })
    }

    private static func write(_ text: String, to file: URL) throws {
        try text.write(to: file, atomically: true, encoding: .utf8)
    }

    @Test func checkEndsWithOneWhenSomethingIsWrong() async throws {
        let folder = TestEnvironment.root.appending(path: "Tests/T4ConfigTests/BadFiles")
        let file = folder.appending(path: "key-misspelt.toml").path
        let check = try Self.t4("config", "check", "--config", file)
        #expect(try await check.wait() == .code(64))
        let line = "t4: \(file):4:1: node.data_dri: unknown key; did you mean \"data_dir\"?\n"
        #expect(check.errors.value.description == line)
        #expect(check.output.value.bytes.isEmpty)
        // The command line alone is wrong.
        let misuse = try Self.t4("config", "check", "--listen", "nowhere")
        #expect(try await misuse.wait() == .code(64))
    }

    /// What stands in an engine's table is read without opening it, by the check and before a start.
    @Test func engineSettingsAreCheckedBeforeTheEngineIsOpened() async throws {
        try await withTemporaryDirectory { folder in
            let file = folder.appending(path: "t4.toml")
            try Self.write("[engine]\ntype = \"memory\"\n\n[engine.memory]\nsize = 1\n", to: file)
            let data = folder.appending(path: "data").path
            for command in [["config", "check"], ["run", "--data-dir", data]] {
                let process = try ChildProcess(
                    TestEnvironment.t4Binary(), command + ["--config", file.path],
                    environment: TestEnvironment.forChildren)
                #expect(try await process.wait() == .code(64))
                let said = process.errors.value.description
                #expect(said.contains("\(file.path):5:1: engine.memory.size: unknown key"), "\(said)")
            }
            #expect(!FileManager.default.fileExists(atPath: data))
        }
    }

    @Test func aGoodConfigurationIsFine() async throws {
        try await withTemporaryDirectory { folder in
            let file = folder.appending(path: "t4.toml")
            try Self.write("[node]\nid = \"from-file\"\nlisten = \":4000\"\n[engine]\ntype = \"memory\"\n", to: file)
            let environment = ["T4_CONFIG": file.path, "T4_LISTEN": "127.0.0.1:4001", "T4_NODE_ID": "from-variable"]
            let check = try Self.t4("config", "check", "--node-id", "from-flag", environment: environment)
            #expect(try await check.wait() == .code(0))
            let said =
                "ok: node from-flag, engine memory, store file:///var/lib/t4/store/, 127.0.0.1:4001\n"
            #expect(check.output.value.description == said)
            #expect(check.errors.value.bytes.isEmpty)
        }
    }

    @Test func theConfigurationIsReadAgainOnSIGHUP() async throws {
        try await withTemporaryDirectory { folder in
            let file = folder.appending(path: "t4.toml")
            try Self.write("[log]\nlevel = \"info\"\n[wal]\nsegment_max_age = \"1h\"\n", to: file)
            let server = try await ServerUnderTest.start(
                .t4(engine: nil), dataDirectory: folder.appending(path: "data"), options: ["--config", file.path])
            let client = try await EtcdClient.connect(to: server)
            func reload(_ text: String, until said: String) async throws -> String {
                let before = server.process.errors.value.bytes.count
                try Self.write(text, to: file)
                server.process.signal(SIGHUP)
                return try await server.process.errors.wait(for: "'\(said)'") { output in
                    let new = readable(Array(output.bytes[before...]))
                    return new.contains(said) && new.hasSuffix("\n") ? new : nil
                }
            }

            // What counts at once, and what needs a restart, one line each.
            let first = try await reload(
                "[log]\nlevel = \"debug\"\n[engine]\ntype = \"memory\"\n[wal]\nsegment_max_age = \"2h\"\n",
                until: "read again")
            for line in [
                "notice log.level changed from \"info\" to \"debug\"\n",
                "warning engine.type changed from \"lmdb\" to \"memory\": needs a restart\n",
                "warning wal.segment_max_age changed from \"1h\" to \"2h\": needs a restart\n",
                "notice the configuration was read again changes=3\n",
            ] { #expect(first.contains(line), "no '\(line)' in: \(first)") }

            // A file with a mistake changes nothing.
            let second = try await reload("[log]\nlevel = \"error\"\nfromat = \"json\"\n", until: "stays as it was")
            #expect(
                second.contains("error the configuration stays as it was: \(file.path):3:1: log.fromat: unknown key"),
                "\(second)")
            #expect(!second.contains("changed from"))
            #expect(try await server.tellingIfLost { try await client.put("a", "1") } == 2)

            // Back to what the node was started with, but for the level and the format.
            let third = try await reload(
                "[log]\nlevel = \"error\"\nformat = \"json\"\n[wal]\nsegment_max_age = \"1h\"\n", until: "read again")
            // The node may have something else to say meanwhile.
            let lines = third.split(separator: "\n").filter { $0.contains("changed from") || $0.contains("read again") }
            #expect(lines.count == 3 && lines.allSatisfy { $0.hasPrefix("{") && $0.hasSuffix("}") }, "\(third)")
            #expect(third.contains(#"log.level changed from \"debug\" to \"error\""#))

            // The level that was reloaded hides what is said at the end.
            await client.close()
            let before = server.process.errors.value.bytes.count
            #expect(try await server.stop() == .code(0))
            #expect(server.process.errors.value.bytes.count == before)
        }
    }
}
