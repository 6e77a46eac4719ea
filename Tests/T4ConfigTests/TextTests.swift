// Goal: help, example, description and document say what the program does.
import Foundation
import T4BuiltIns
import T4Protocols
import Testing

@testable import T4Config

@Suite struct TextTests {
    @Test func theExampleLoadsAndChangesNothing() throws {
        let configuration = try load(Configuration.exampleTOML(.builtIn), registry: .builtIn)
        #expect(configuration.origins.isEmpty)
        #expect(configuration.engine.tables.values.allSatisfy { $0.table.isEmpty })
    }

    @Test func theExampleShowsEveryDefault() throws {
        let activated = Configuration.exampleTOML(.builtIn).split(separator: "\n", omittingEmptySubsequences: false)
            .map { line in line.hasPrefix("#") && !line.hasPrefix("# ") ? line.dropFirst() : line }.joined(
                separator: "\n")
        let configuration = try load(activated, registry: .builtIn)
        #expect(configuration.origins.count == SettingDefinition.all.count)
        for setting in SettingDefinition.all where setting.key != "node.id" {
            #expect(setting.writeTOML(configuration) == setting.writeTOML(Configuration()), "\(setting.key)")
        }
        for name in BackendRegistry.builtIn.engineNames {
            let described = BackendRegistry.builtIn.engineSettings(name).filter { $0.defaultTOML != nil }
            #expect(configuration.engine.settings(of: name).table.keys.sorted() == described.map(\.key).sorted())
        }
    }

    /// What a built-in engine reads is what its descriptions tell: nothing is missing in help and documents.
    @Test(arguments: BackendRegistry.builtIn.engineNames)
    func engineSettingsAreDescribed(_ name: String) throws {
        struct Probe: SettingsSource {
            struct Found: Error { var keys: [String] }
            func decode<Settings: Decodable & Sendable>(_ type: Settings.Type) throws -> Settings {
                let asked = AskedKeys()
                // What the type asks for is told beside the one key that it does not know.
                _ = try Settings(from: TOMLNodeDecoder(.table(["?": .integer(1)]), path: [], asked: asked))
                throw Found(keys: asked.unknown()[0].known)
            }
        }
        let found = #expect(throws: Probe.Found.self) { try BackendRegistry.builtIn.checkEngineSettings(name, Probe()) }
        #expect(found?.keys == BackendRegistry.builtIn.engineSettings(name).map(\.key).sorted())
    }

    @Test func theDescriptionReadsBackToTheSame() throws {
        let toml = """
            [node]
            id = "n\\"1"
            [wal]
            segment_max_size = "1.5GB"
            [engine.lmdb]
            map_size_max = "1GiB"
            list = [1, 2.5, "a\\u0001b"]
            inner = { a = true, "b c" = 1979-05-27 }
            """
        let first = try load(toml, environment: ["T4_LISTEN": ":1"], flags: ["log-level": "debug"])
        let description = first.describe()
        let second = try load(description)
        #expect(first.engine.settings.table == second.engine.settings.table)
        for setting in SettingDefinition.all {
            #expect(setting.writeTOML(first) == setting.writeTOML(second), "\(setting.key)")
        }
        #expect(description.contains("listen = \"0.0.0.0:1\"  # environment T4_LISTEN\n"))
        #expect(description.contains("level = \"debug\"  # --log-level\n"))
        #expect(description.contains("data_dir = \"/var/lib/t4\"  # default\n"))
        #expect(description.contains("t4.toml:4:1\n"))
    }

    @Test func theDescriptionHidesSecrets() throws {
        let toml = """
            [engine.tape]
            password = "hunter2"
            inner = { secret_access_key = "hunter2", user = "kept" }
            encryption_key = "hunter2"
            key_size = 32
            """
        let description = try load(toml).describe()
        #expect(!description.contains("hunter2"))
        #expect(description.contains("kept") && description.contains("key_size = 32"))
    }

    @Test func helpNamesEverySetting() {
        let help = Configuration.flagHelp(toyRegistry)
        for setting in SettingDefinition.all {
            #expect(help.contains("--\(setting.flag)"))
            #expect(help.contains(setting.environment))
            #expect(help.contains(setting.key))
        }
        for name in ["--engine-tape-is-fast ", "T4_ENGINE_TAPE_IS_FAST", "engine.tape.is_fast"] {
            #expect(help.contains(name))
        }
        #expect(help.split(separator: "\n").allSatisfy { $0.count < 80 })
    }

    @Test func theDocumentIsUpToDate() throws {
        let document = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "docs/configuration.md")
        let text = try String(contentsOf: document, encoding: .utf8)
        // The document is of a build that has every engine.
        let engines = text.matches(of: /(?m)^## \[engine\.(?<name>[a-z]+)\]$/).map { String($0.name) }
        guard Set(engines).isSubset(of: BackendRegistry.builtIn.engineNames) else { return }
        #expect(
            text == Configuration.referenceMarkdown(.builtIn),
            "run: .build/debug/t4 config example --markdown > docs/configuration.md")
    }

    @Test func readsFlags() throws {
        let flags = try Configuration.parseFlags([
            "--data-dir", "./d", "--listen=:1", "--grpc-keepalive-permit-without-stream", "--node-id", "--odd",
            "--unknown", "--log-level", "info", "--grpc-keepalive-permit-without-stream", "false", "--other", "x",
        ])
        #expect(
            flags == [
                "data-dir": "./d", "listen": ":1", "grpc-keepalive-permit-without-stream": "false", "node-id": "--odd",
                "unknown": "", "log-level": "info", "other": "x",
            ])
        #expect(try Configuration.parseFlags(["--grpc-keepalive-permit-without-stream"]).values.first == "true")
    }

    @Test(arguments: [
        (["--listen"], "--listen: the value is missing; write --listen HOST:PORT"),
        (["listen"], "unexpected argument \"listen\""), (["--"], "unexpected argument \"--\""),
        (["-v"], "unexpected argument \"-v\""),
    ])
    func refusesWhatIsNoFlag(_ arguments: [String], _ message: String) {
        let error = #expect(throws: ConfigurationError.self) { try Configuration.parseFlags(arguments) }
        #expect(error?.description == message)
    }
}
