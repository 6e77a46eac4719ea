import Logging
import T4Protocols
import Testing

@testable import T4Config

@Suite struct EngineSettingsTests {
    struct Plain: Decodable, Hashable {
        enum Mode: String, Decodable { case fast, safe }
        struct Part: Decodable, Hashable { var name: String }

        var size: String?
        var count: UInt8 = 3
        var ratio: Double?
        var mode: Mode?
        var parts: [Part]?
        var limits: [String: Int]?
        var isOn: Bool?

        enum CodingKeys: String, CodingKey { case size, count, ratio, mode, parts, limits, isOn = "is_on" }

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            size = try values.decodeIfPresent(String.self, forKey: .size)
            count = try values.decodeIfPresent(UInt8.self, forKey: .count) ?? 3
            ratio = try values.decodeIfPresent(Double.self, forKey: .ratio)
            mode = try values.decodeIfPresent(Mode.self, forKey: .mode)
            parts = try values.decodeIfPresent([Part].self, forKey: .parts)
            limits = try values.decodeIfPresent([String: Int].self, forKey: .limits)
            isOn = try values.decodeIfPresent(Bool.self, forKey: .isOn)
        }
    }
    struct Strict: Decodable { var path: String }
    struct Nothing: Decodable {}

    private func decode<Settings: Decodable & Sendable>(_ type: Settings.Type, _ toml: String) throws -> Settings {
        try load(toml).engine.settings.decode(type)
    }

    private func message<Settings: Decodable & Sendable>(_ type: Settings.Type, _ toml: String) throws -> String {
        let configuration = try load(toml)
        let error = #expect(throws: ConfigurationError.self) { try configuration.engine.settings.decode(type) }
        let text = error?.description ?? ""
        return text.split(separator: "/").last.map(String.init) ?? text
    }

    @Test func decodesEveryKindOfValue() throws {
        let settings = try decode(
            Plain.self,
            """
            [engine.lmdb]
            size = "1GiB"
            count = 255
            ratio = 1
            mode = "safe"
            is_on = true
            parts = [{ name = "a" }, { name = "b" }]
            limits = { a = 1, b = 2 }
            """)
        #expect(settings.size == "1GiB" && settings.count == 255 && settings.ratio == 1 && settings.mode == .safe)
        #expect(settings.parts?.map(\.name) == ["a", "b"] && settings.limits == ["a": 1, "b": 2])
        #expect(settings.isOn == true)
    }

    @Test func takesTheTableOfTheChosenEngine() throws {
        let toml = "[engine]\ntype = \"tape\"\n[engine.tape]\npath = \"/t\"\n[engine.lmdb]\nmap = 1\n"
        #expect(try decode(Strict.self, toml).path == "/t")
        #expect(try load(toml, flags: ["engine": "lmdb"]).engine.settings.decode([String: Int].self) == ["map": 1])
    }

    @Test func anAbsentTableIsEmpty() throws {
        #expect(try load().engine.settings.decode(Plain.self).count == 3)
        _ = try BackendSettings(path: []).decode(Nothing.self)
    }

    @Test(arguments: [
        ("siez = \"1GiB\"", "t4.toml:2:1: engine.lmdb.siez: unknown key; did you mean \"size\"?"),
        ("count = 256", "t4.toml:2:1: engine.lmdb.count: 256 is out of range; 0 ... 255"),
        ("count = \"1\"", "t4.toml:2:1: engine.lmdb.count: expected a whole number, found \"1\""),
        ("is_on = 1", "t4.toml:2:1: engine.lmdb.is_on: expected true or false, found 1"),
        ("size = 1", "t4.toml:2:1: engine.lmdb.size: expected a text in quotes, found 1"),
        ("ratio = \"1\"", "t4.toml:2:1: engine.lmdb.ratio: expected a number, found \"1\""),
        ("parts = 1", "t4.toml:2:1: engine.lmdb.parts: expected an array, found 1"),
        ("parts = [{ name = 1 }]", "t4.toml:2:1: engine.lmdb.parts.0.name: expected a text in quotes, found 1"),
        (
            "parts = [{ nam = \"a\" }]",
            "t4.toml:2:1: engine.lmdb.parts.0: the key \"name\" is missing; is \"nam\" meant to be it?"
        ),
        (
            "parts = [{ name = \"a\", b = 1 }]",
            "t4.toml:2:1: engine.lmdb.parts.0.b: unknown key; known: name"
        ),
    ])
    func placesMistakes(_ line: String, _ wanted: String) throws {
        #expect(try message(Plain.self, "[engine.lmdb]\n\(line)\n") == wanted)
    }

    @Test func namesWhatIsMissingOrUnknown() throws {
        #expect(
            try message(Strict.self, "[engine.lmdb]\n")
                == "t4.toml:1:2: engine.lmdb: the key \"path\" is missing")
        #expect(
            try message(Nothing.self, "[engine.lmdb]\na = 1\n")
                == "t4.toml:2:1: engine.lmdb.a: unknown key; the table has no keys")
    }

    @Test func aRegistryHandsTheTableThrough() throws {
        struct Refused: Error, CustomStringConvertible { var description: String }
        var registry = BackendRegistry()
        registry.register(engine: "tape", settings: Strict.self) { settings, _ in
            throw Refused(description: "opened \(settings.path)")
        }
        let configuration = try load("[engine]\ntype = \"tape\"\n[engine.tape]\npath = \"/t\"\n")
        let context = EngineContext(directory: "/", isReadOnly: false, logger: .init(label: "test"))
        let error = #expect(throws: Refused.self) {
            _ = try registry.makeEngine(
                configuration.engine.type, settings: configuration.engine.settings, context: context)
        }
        #expect(error?.description == "opened /t")
    }
}
