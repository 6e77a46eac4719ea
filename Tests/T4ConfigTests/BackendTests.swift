// Goal: a backend of whoever uses the library is chosen and set up by the same TOML file, flags and variables as ours,
// and a mistake in its settings is found, with its place, before anything is opened.
import Logging
import T4BuiltIns
import T4Protocols
import Testing

@testable import T4Config

@Suite struct BackendTests {
    private static let chosen = "[engine]\ntype = \"tape\"\n[engine.tape]\n"

    private func open(_ configuration: Configuration) -> Opened? {
        #expect(throws: Opened.self) {
            _ = try toyRegistry.makeEngine(
                configuration.engine.type, settings: configuration.engine.settings,
                context: EngineContext(directory: "/", isReadOnly: false, logger: Logger(label: "test")))
        }
    }

    @Test func anEngineOfALibraryUserIsChosenInTOML() throws {
        let toml = Self.chosen + "path = \"/t\"\nis_fast = true\ntracks = 7\nratio = 0.5\nheads = [\"a\"]\n"
        let configuration = try load(toml, registry: toyRegistry)
        let wanted = TapeSettings(path: "/t", isFast: true, tracks: 7, ratio: 0.5, password: nil, heads: ["a"])
        #expect(open(configuration)?.tape == wanted)
    }

    @Test func flagsComeBeforeVariablesBeforeTheTable() throws {
        let toml = Self.chosen + "path = \"/file\"\ntracks = 1\nratio = 1.0\nis_fast = false\n"
        let environment = [
            "T4_ENGINE_TAPE_TRACKS": "2", "T4_ENGINE_TAPE_RATIO": "2.5", "T4_ENGINE_TAPE_IS_FAST": "true",
        ]
        let configuration = try load(
            toml, environment: environment, flags: ["engine-tape-ratio": "3", "engine-tape-password": "12345"],
            registry: toyRegistry)
        let wanted = TapeSettings(path: "/file", isFast: true, tracks: 2, ratio: 3, password: "12345", heads: nil)
        #expect(open(configuration)?.tape == wanted)
        let description = configuration.describe()
        for line in [
            "tracks = 2  # environment T4_ENGINE_TAPE_TRACKS", "ratio = 3  # --engine-tape-ratio",
            "is_fast = true  # environment T4_ENGINE_TAPE_IS_FAST",
            "password = \"<redacted>\"  # --engine-tape-password",
        ] { #expect(description.contains(line + "\n"), "no '\(line)' in \(description)") }
        #expect(description.contains("path = \"/file\"  # ") && description.contains("t4.toml:4:1\n"))
        #expect(!description.contains("12345"))
    }

    @Test func variablesAloneAreEnough() throws {
        let configuration = try load(
            environment: ["T4_ENGINE": "tape", "T4_ENGINE_TAPE_PATH": "/v"], registry: toyRegistry)
        #expect(open(configuration)?.tape.path == "/v")
    }

    @Test(arguments: [
        ("paht = \"/t\"", "t4.toml:3:2: engine.tape: the key \"path\" is missing; is \"paht\" meant to be it?"),
        ("path = \"/t\"\ntarcks = 1", "t4.toml:5:1: engine.tape.tarcks: unknown key; did you mean \"tracks\"?"),
        ("path = \"/t\"\ntracks = 256", "t4.toml:5:1: engine.tape.tracks: 256 is out of range; 0 ... 255"),
        ("path = \"/t\"\nheads = 1", "t4.toml:5:1: engine.tape.heads: expected an array, found 1"),
        (
            "path = \"/t\"\npassword = 4711",
            "t4.toml:5:1: engine.tape.password: expected a text in quotes, found <redacted>"
        ),
    ])
    func mistakesAreFoundBeforeTheEngineIsOpened(_ lines: String, _ message: String) throws {
        #expect(try messages(Self.chosen + lines + "\n", registry: toyRegistry) == message)
        // The table of an engine that is not chosen is read as well.
        let other = Self.chosen.replacing("type = \"tape\"", with: "type = \"drum\"")
        #expect(try messages(other + lines + "\n", registry: toyRegistry) == message)
    }

    @Test func mistakesInFlagsAndVariablesNameThem() throws {
        func found(_ environment: [String: String] = [:], _ flags: [String: String] = [:]) throws -> String {
            try messages(Self.chosen + "path = \"/t\"\n", environment: environment, flags: flags, registry: toyRegistry)
        }
        #expect(
            try found(["T4_ENGINE_TAPE_TRACKS": "many"])
                == "T4_ENGINE_TAPE_TRACKS: engine.tape.tracks: expected a whole number, found \"many\"")
        #expect(
            try found([:], ["engine-tape-tarcks": "1"])
                == "--engine-tape-tarcks: engine.tape.tarcks: unknown key; did you mean \"tracks\"?")
        #expect(
            try found([:], ["engine-tape-heads": "a,b"])
                == "--engine-tape-heads: engine.tape.heads: expected an array, found \"a,b\"")
        #expect(
            try found([:], ["engine-disk-size": "1"]) == "--engine-disk-size: unknown flag")
        #expect(
            try messages(flags: ["engine": "tape"], registry: toyRegistry)
                == "--engine: engine.tape: the key \"path\" is missing")
    }

    @Test func noMessageShowsASecret() throws {
        struct Picky: Decodable {
            struct Refused: Error, CustomStringConvertible { var description: String }
            var password: String
            init(from decoder: any Decoder) throws {
                let values = try decoder.container(keyedBy: TapeSettings.CodingKeys.self)
                password = try values.decode(String.self, forKey: .password)
                throw Refused(description: "cannot log in with \(password)")
            }
        }
        var registry = BackendRegistry()
        registry.register(engine: "picky", settings: Picky.self) { _, _ in throw Picky.Refused(description: "opened") }
        #expect(
            try messages("[engine]\ntype = \"picky\"\n[engine.picky]\npassword = \"hunter2\"\n", registry: registry)
                == "t4.toml:3:2: engine.picky: cannot log in with <redacted>")
    }

    /// Of two engines whose names begin alike, the longer one is meant.
    @Test func longerNamesComeFirst() throws {
        var registry = toyRegistry
        registry.register(engine: "tape-fast", settings: TapeSettings.self) { settings, _ in
            throw Opened(tape: settings)
        }
        let configuration = try load(
            flags: ["engine": "tape-fast", "engine-tape-fast-path": "/f"], registry: registry)
        #expect(try configuration.engine.settings.decode(TapeSettings.self).path == "/f")
    }

    @Test func unknownBackendsListTheKnownOnes() async throws {
        func message(_ body: () async throws -> Void) async -> String {
            do {
                try await body()
                return "nothing was thrown"
            } catch {
                return "\(error)"
            }
        }
        let logger = Logger(label: "test")
        let settings = BackendSettings(path: [])
        var registry = toyRegistry
        struct Unused: Error {}
        registry.register(store: "shelf", settings: DrumSettings.self) { _, _ in throw Unused() }
        registry.register(store: "box", settings: DrumSettings.self) { _, _ in throw Unused() }
        registry.register(election: "coin", settings: DrumSettings.self) { _, _ in throw Unused() }
        let (engine, store, election) = (
            "no engine named \"x\" in this build (known: drum, tape)",
            "no store named \"x\" in this build (known: box, shelf)",
            "no election named \"x\" in this build (known: coin)"
        )
        let engineContext = EngineContext(directory: "/", isReadOnly: true, logger: logger)
        let storeContext = StoreContext(dataDirectory: "/", logger: logger)
        let electionContext = ElectionContext(dataDirectory: "/", store: nil, logger: logger)
        let known = registry
        #expect(
            await message { _ = try known.makeEngine("x", settings: settings, context: engineContext) } == engine)
        #expect(await message { try known.checkEngineSettings("x", settings) } == engine)
        #expect(
            await message { _ = try await known.makeStore("x", settings: settings, context: storeContext) } == store)
        #expect(await message { try known.checkStoreSettings("x", settings) } == store)
        #expect(
            await message { _ = try await known.makeElection("x", settings: settings, context: electionContext) }
                == election)
        #expect(await message { try known.checkElectionSettings("x", settings) } == election)
        #expect(
            await message { try BackendRegistry().checkStoreSettings("x", settings) }
                == "no store named \"x\" in this build (known: none)")
        // Known ones get as far as their settings and their makers.
        let odd = try load("[engine.drum]\nodd = 1\n").engine.settings(of: "drum")
        #expect(throws: ConfigurationError.self) { try known.checkEngineSettings("drum", odd) }
        #expect(throws: ConfigurationError.self) { try known.checkStoreSettings("box", odd) }
        #expect(throws: ConfigurationError.self) { try known.checkElectionSettings("coin", odd) }
        try known.checkEngineSettings("drum", settings)
        try known.checkStoreSettings("box", settings)
        try known.checkElectionSettings("coin", settings)
        await #expect(throws: Unused.self) {
            _ = try await known.makeStore("box", settings: settings, context: storeContext)
        }
    }
}
