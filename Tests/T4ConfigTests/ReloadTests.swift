// Goal: of two configurations, what a running node can take over and what needs a restart.
import Testing

@testable import T4Config

@Suite struct ReloadTests {
    @Test func namesEveryDifference() throws {
        let before = try load(
            "[log]\nlevel = \"info\"\n[engine]\ntype = \"tape\"\n[engine.tape]\npath = \"/a\"\ntoken = \"abcd\"\n")
        let after = try load(
            "[log]\nlevel = \"debug\"\n[wal]\nsegment_max_age = \"1m\"\n[engine.tape]\npath = \"/a\"\ntoken = \"efgh\"\nfast = true\n",
            flags: ["engine": "drum"])
        let changes = before.changes(to: after)
        #expect(
            changes.map(\.description) == [
                "log.level changed from \"info\" to \"debug\"", "engine.type changed from \"tape\" to \"drum\"",
                "wal.segment_max_age changed from \"10s\" to \"1m\"",
                "engine.tape.fast changed from its default to true",
                "engine.tape.token changed from \"<redacted>\" to \"<redacted>\"",
            ])
        #expect(changes.map(\.isReloadable) == [true, false, false, false, false])
        #expect(before.changes(to: before).isEmpty)
        // A value that is written in another way is the same value.
        let other = try load("[wal]\nsegment_max_age = \"10000ms\"\n[engine]\ntype = \"tape\"\n")
        #expect(before.changes(to: other).map(\.key) == ["engine.tape.path", "engine.tape.token"])
    }

    @Test func namesDifferencesOfTheStoreThatIsChosen() throws {
        let toml =
            "[store]\ntype = \"s3\"\n[store.s3]\nbucket = \"a\"\nsecret_access_key = \"abcd\"\n[store.tape]\npath = \"/a\"\n"
        let before = try load(toml)
        let after = try load(
            toml.replacing("\"a\"", with: "\"b\"").replacing("abcd", with: "efgh").replacing("/a", with: "/b"))
        #expect(
            before.changes(to: after).map(\.description) == [
                "store.s3.bucket changed from \"a\" to \"b\"",
                "store.s3.secret_access_key changed from \"<redacted>\" to \"<redacted>\"",
            ])
        // What follows from another setting has changed as well.
        #expect(try load().changes(to: before).map(\.key) == ["store.type", "wal.durability"])
    }

    @Test func takesOverWhatItCan() throws {
        let before = try load("[node]\nlisten = \":1\"\n")
        let after = try load("[node]\nlisten = \":2\"\n[log]\nlevel = \"error\"\nformat = \"json\"\n")
        let running = before.reloaded(from: after)
        #expect(running.log == after.log)
        #expect(running.node == before.node)
        // What is left needs a restart, at each further reload too.
        #expect(running.changes(to: after).map(\.key) == ["node.listen"])
        #expect(running.describe().contains("level = \"error\"  # "))
        #expect(running.reloaded(from: before).describe() == before.describe())
    }
}
