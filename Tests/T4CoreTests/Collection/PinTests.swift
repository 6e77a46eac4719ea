import T4Protocols
import Testing

@testable import T4Core

@Suite struct PinTests {
    private static func make() throws -> (CollectionScript, SteppedStorage, SteppedStore, heads: [ObjectKey]) {
        let script = try CollectionInterleavingTests.script.get()
        let storage = try script.makeStorage(checkpoints: 3)
        let store = SteppedStore(storage)
        return (script, storage, store, try script.checkpoints(store).checkpoints())
    }

    @Test func aPinKeepsACheckpointAndIfWantedTheLog() async throws {
        try await onThread {
            let (script, storage, store, heads) = try PinTests.make()
            let pins = script.pins(store)
            let (pin, file) = try pins.add(.branch, id: "a", checkpoint: heads[0], keepsLog: false, at: 5)
            #expect(pin.checkpoint == heads[0].rawValue && pin.index == 10 && pin.checkpointID == file.id)
            #expect(pin.createdTime == 5)
            #expect(try pins.find(.branch, id: "a") == pin.sealed())
            #expect(try pins.pins(.branch) == [pin.sealed()])
            let report = try script.collector(store, keep: 1).collect()
            #expect(report.pins == ["branches/a"] && report.checkpointCount == 1 && report.keptCheckpointCount == 2)
            #expect(report.tableCount == 1 && report.logCutIndex == 54)
            #expect(file.envelope.places.values.allSatisfy { storage.objects[$0.key] != nil })
            // The log behind it is gone.
            let error = #expect(throws: CheckpointError.self) {
                try pins.add(.reader, id: "r", checkpoint: heads[0], keepsLog: true, at: 5)
            }
            #expect(error?.code == .interrupted)
            #expect(!storage.objects.keys.contains { $0.hasPrefix("readers/") })
            _ = try pins.add(.reader, id: "r", checkpoint: heads[0], keepsLog: false, at: 5)
            try pins.remove(.reader, id: "r")
            try pins.remove(.branch, id: "a")
            try pins.remove(.branch, id: "a")
            let last = try script.collector(store, keep: 1).collect()
            #expect(last.checkpointCount == 1 && last.tableCount == 1)
        }
    }

    @Test func theLogBehindAPinStays() async throws {
        try await onThread {
            let (script, _, store, heads) = try PinTests.make()
            _ = try script.pins(store).add(.backup, id: "a", checkpoint: heads[1], keepsLog: true, at: 5)
            #expect(try script.collector(store, keep: 1).collect().logCutIndex == 50)
        }
    }

    @Test func anIdIsTakenOnce() async throws {
        try await onThread {
            let (script, storage, store, heads) = try PinTests.make()
            _ = try script.pins(store).add(.branch, id: "a", checkpoint: heads[0], keepsLog: false, at: 5)
            let error = #expect(throws: CheckpointError.self) {
                try script.pins(store).add(.branch, id: "a", checkpoint: heads[1], keepsLog: false, at: 5)
            }
            #expect(error?.description.contains(heads[0].rawValue) == true)
            #expect(storage.objects.keys.filter { $0.hasPrefix("branches/") }.count == 1)
            // An id that begins like another one is another one.
            _ = try script.pins(store).add(.branch, id: "a.b", checkpoint: heads[0], keepsLog: false, at: 5)
            #expect(try script.pins(store).pins(.branch).map(\.id) == ["a", "a.b"])
            for id in ["", "a/b", "ä", "a b", String(repeating: "x", count: 129)] {
                let error = #expect(throws: CheckpointError.self) {
                    try script.pins(store).add(.branch, id: id, checkpoint: heads[0], keepsLog: false, at: 5)
                }
                #expect(error?.code == .invalidArgument)
            }
        }
    }

    /// Goal: what an `unfork` asked for and is carried out late does not take away what was forked since. Method: the very
    /// deletion comes once more, and so does the first pin.
    @Test func aLateRequestDoesNotMeetALaterPin() async throws {
        try await onThread {
            let (script, storage, store, heads) = try PinTests.make()
            let pins = script.pins(store)
            _ = try pins.add(.branch, id: "a", checkpoint: heads[0], keepsLog: false, at: 5)
            let name = try #require(storage.objects.keys.first { $0.hasPrefix("branches/a/") })
            let bytes = try BlockingStore(store).get(ObjectKey(name)).bytes
            try pins.remove(.branch, id: "a")
            let (second, _) = try pins.add(.branch, id: "a", checkpoint: heads[1], keepsLog: false, at: 6)
            try BlockingStore(store).delete([ObjectKey(name)])
            #expect(try pins.pins(.branch) == [second.sealed()])
            _ = try script.collector(store, keep: 1).collect()
            #expect(storage.objects[heads[1].rawValue] != nil)
            // A pin that lands late keeps more than it need, and goes with the other one.
            _ = try BlockingStore(store).put(ObjectKey(name), bytes, when: .absent)
            #expect(try pins.pins(.branch).count == 2)
            try pins.remove(.branch, id: "a")
            #expect(try pins.pins(.branch).isEmpty)
        }
    }

    /// A pin under the name that pins had once counts like any other.
    @Test func aPinWithoutANonceInItsNameCounts() async throws {
        try await onThread {
            let (script, storage, store, heads) = try PinTests.make()
            let pins = script.pins(store)
            let pin = Pin(
                try script.checkpoints(store).manifest(heads[0]), key: heads[0], id: "old", nonce: "n", keepsLog: false,
                createdTime: 1)
            _ = try BlockingStore(store).put("branches/old", pin.encoded(), when: .absent)
            #expect(throws: CheckpointError.self) {
                try pins.add(.branch, id: "old", checkpoint: heads[1], keepsLog: false, at: 5)
            }
            #expect(try script.collector(store, keep: 1).collect().pins == ["branches/old"])
            try pins.remove(.branch, id: "old")
            #expect(storage.objects["branches/old"] == nil)
        }
    }

    /// A manifest of a writer that died before it swapped the head is no checkpoint.
    @Test func onlyWhatWasTheNewestCheckpointCanBePinned() async throws {
        try await onThread {
            let (script, storage, store, heads) = try PinTests.make()
            let orphan = StoreLayout.checkpoint(term: 3, revision: Revision(40), index: nil)
            let file = try script.checkpoints(store).manifest(heads[0])
            var manifest = file.checkpoint
            (manifest.term, manifest.index, manifest.revision) = (3, 52, 40)
            _ = try BlockingStore(store).put(orphan, ManifestFile(manifest, file.envelope).encoded(), when: .absent)
            let error = #expect(throws: CheckpointError.self) {
                try script.pins(store).add(.branch, id: "a", checkpoint: orphan, keepsLog: false, at: 5)
            }
            #expect(error?.code == .invalidArgument)
            #expect(!storage.objects.keys.contains { $0.hasPrefix("branches/") })
            _ = try script.collector(store, keep: 9).collect()
            #expect(storage.objects[orphan.rawValue] == nil)
        }
    }

    /// Whoever pinned a checkpoint that was gone, and died, does not stop collections.
    @Test func aLapsedPinIsReported() async throws {
        try await onThread {
            let (script, storage, store, heads) = try PinTests.make()
            let checkpoints = script.checkpoints(store)
            let pins = try heads.map { key in
                Pin(
                    try checkpoints.manifest(key), key: key, id: "dead", nonce: "n", keepsLog: false, createdTime: 1)
            }
            _ = try script.collector(store, keep: 1).collect()
            _ = try BlockingStore(store).put("readers/dead", pins[0].encoded(), when: .absent)
            #expect(try script.collector(store, keep: 1).collect().lapsedPins == ["readers/dead"])
            // One that no collection took away is another matter.
            _ = try BlockingStore(store).put("readers/dead", pins[2].encoded(), when: .always)
            try BlockingStore(store).delete([heads[2]])
            #expect(throws: (any Error).self) { try script.collector(store, keep: 1).collect() }
            #expect(storage.objects["readers/dead"] != nil)
        }
    }
}
