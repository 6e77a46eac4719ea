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
        for kind in BackendKind.allCases {
            #expect(kind.tables(in: configuration).values.allSatisfy { $0.table.isEmpty })
        }
    }

    @Test func theExampleShowsEveryDefault() throws {
        let activated = Configuration.exampleTOML(.builtIn).split(separator: "\n", omittingEmptySubsequences: false)
            .map { line in line.hasPrefix("#") && !line.hasPrefix("# ") ? line.dropFirst() : line }.joined(
                separator: "\n"
            )
            // What is set up needs what is required.
            .replacing("# bucket = NAME  # default: required", with: "bucket = \"b\"")
            .replacing("# path = DIRECTORY  # default: required", with: "path = \"p\"")
        let configuration = try load(activated, registry: .builtIn)
        #expect(configuration.origins.count == SettingDefinition.all.count { !$0.isNeverEmpty })
        for setting in SettingDefinition.all where setting.key != "node.id" {
            #expect(setting.writeTOML(configuration) == setting.writeTOML(Configuration()), "\(setting.key)")
        }
        for kind in BackendKind.allCases {
            for name in kind.names(in: .builtIn) {
                let described = kind.descriptions(of: name, in: .builtIn).filter {
                    $0.defaultTOML != nil || $0.defaultText == "required"
                }
                let table = kind.tables(in: configuration)[name]?.table ?? [:]
                #expect(table.keys.sorted() == described.map(\.key).sorted())
            }
        }
    }

    /// A built-in backend and its kind.
    struct Named: Sendable, CustomTestStringConvertible {
        var kind: BackendKind
        var name: String
        var testDescription: String { "\(kind.rawValue) \(name)" }

        static let all = BackendKind.allCases.flatMap { kind in
            kind.names(in: .builtIn).map { Named(kind: kind, name: $0) }
        }

        var descriptions: [SettingDescription] { kind.descriptions(of: name, in: .builtIn) }

        func check(_ source: any SettingsSource) throws {
            switch kind {
            case .engine: try BackendRegistry.builtIn.checkEngineSettings(name, source)
            case .store: try BackendRegistry.builtIn.checkStoreSettings(name, source)
            case .election: try BackendRegistry.builtIn.checkElectionSettings(name, source)
            }
        }

        /// What is required, with a value.
        var required: [String: TOMLNode] {
            Dictionary(
                uniqueKeysWithValues: descriptions.filter { $0.defaultText == "required" }.map {
                    ($0.key, .string("x"))
                })
        }
    }

    /// What a built-in backend reads is what its descriptions tell: nothing is missing in help and documents.
    @Test(arguments: Named.all)
    func backendSettingsAreDescribed(_ backend: Named) throws {
        struct Probe: SettingsSource {
            struct Found: Error { var keys: [String] }
            var required: [String: TOMLNode]
            func decode<Settings: Decodable & Sendable>(_ type: Settings.Type) throws -> Settings {
                let asked = AskedKeys()
                // What the type asks for is told beside the one key that it does not know.
                let table = required.merging(["?": .integer(1)]) { $1 }
                _ = try Settings(from: TOMLNodeDecoder(.table(table), path: [], asked: asked))
                throw Found(keys: asked.unknown()[0].known)
            }
        }
        let found = #expect(throws: Probe.Found.self) { try backend.check(Probe(required: backend.required)) }
        #expect(found?.keys == backend.descriptions.map(\.key).sorted())
    }

    /// The defaults that help and documents tell are those of the code: setting them changes nothing.
    @Test(arguments: Named.all)
    func describedDefaultsAreTheDefaults(_ backend: Named) throws {
        struct Comparison: SettingsSource {
            struct Compared: Error { var bare: String, described: String }
            var required: [String: TOMLNode]
            var defaults: [String: TOMLNode]
            func decode<Settings: Decodable & Sendable>(_ type: Settings.Type) throws -> Settings {
                func settings(_ table: [String: TOMLNode]) throws -> String {
                    var text = ""
                    dump(
                        try Settings(from: TOMLNodeDecoder(.table(table), path: [], asked: AskedKeys())), to: &text)
                    return text
                }
                throw Compared(
                    bare: try settings(required), described: try settings(required.merging(defaults) { $1 }))
            }
        }
        let lines = backend.descriptions.compactMap { setting in setting.defaultTOML.map { "\(setting.key) = \($0)\n" }
        }
        let defaults = try TOMLDocument(file: "defaults", text: lines.joined()).root
        #expect(defaults.count == lines.count)
        let compared = #expect(throws: Comparison.Compared.self) {
            try backend.check(Comparison(required: backend.required, defaults: defaults))
        }
        #expect(compared?.bare == compared?.described)
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
            [store]
            type = "tape"
            prefix = "t4"
            [store.tape]
            path = "/t"
            [branch]
            prefix = "parent/"
            checkpoint = "checkpoint/0000000001/00000000000000000050/manifest.json"
            """
        let first = try load(toml, environment: ["T4_LISTEN": ":1"], flags: ["log-level": "debug"])
        let description = first.describe()
        let second = try load(description)
        #expect(first.engine.settings.table == second.engine.settings.table)
        #expect(first.store.settings.table == second.store.settings.table)
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
            [store]
            type = "s3"
            [store.s3]
            bucket = "b"
            secret_access_key = "hunter2"
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
            for alias in setting.aliases {
                #expect(help.contains("--\(alias.flag)"))
                #expect(help.contains(SettingDefinition.variable(ofFlag: alias.flag)))
            }
        }
        for name in ["--engine-tape-is-fast ", "T4_ENGINE_TAPE_IS_FAST", "engine.tape.is_fast"] {
            #expect(help.contains(name))
        }
        let all = Configuration.flagHelp(.builtIn)
        for name in ["--store-filesystem-path DIRECTORY", "T4_STORE_FILESYSTEM_PATH", "store.filesystem.path"] {
            #expect(all.contains(name))
        }
        #expect((help + all).split(separator: "\n").allSatisfy { $0.count < 80 })
    }

    @Test func theDocumentIsUpToDate() throws {
        let document = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "docs/configuration.md")
        let text = try String(contentsOf: document, encoding: .utf8)
        // The document is of a build that has every backend.
        let backends = text.matches(of: /(?m)^## \[(?:engine|store|election)\.(?<name>[a-z0-9-]+)\]$/).map {
            String($0.name)
        }
        let registry = BackendRegistry.builtIn
        guard Set(backends).isSubset(of: registry.engineNames + registry.storeNames + registry.electionNames) else {
            return
        }
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
        // A second name of a setting that is no switch is one all the same.
        #expect(
            try Configuration.parseFlags(["--wal-sync-upload", "--s3-bucket", "b"])
                == ["wal-sync-upload": "true", "s3-bucket": "b"])
        #expect(try Configuration.parseFlags(["--wal-sync-upload", "false"]) == ["wal-sync-upload": "false"])
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
