import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

@Suite struct CollectorTests {
    private static func names(_ storage: SteppedStorage, _ prefix: String) -> [String] {
        storage.objects.keys.filter { $0.hasPrefix(prefix) }.sorted()
    }

    private static func script() throws -> CollectionScript { try CollectionInterleavingTests.script.get() }

    /// Commit times are the index in microseconds, and it is 60 of those.
    @Test(arguments: [
        (keep: 1, retain: 0, kept: [3], cut: 56), (keep: 3, retain: 0, kept: [1, 2, 3], cut: 50),
        (keep: 1, retain: 5, kept: [2, 3], cut: 54), (keep: 1, retain: 20, kept: [0, 1, 2, 3], cut: 10),
        (keep: 9, retain: 0, kept: [0, 1, 2, 3], cut: 10), (keep: 1, retain: 55, kept: [0, 1, 2, 3], cut: 0),
    ])
    func whatIsKept(_ keep: Int, _ retain: Int, _ kept: [Int], _ cut: UInt64) async throws {
        try await onThread {
            let script = try CollectorTests.script()
            let storage = try script.makeStorage(checkpoints: 4)
            let store = SteppedStore(storage)
            let checkpoints = try script.checkpoints(store).checkpoints()
                .sorted {
                    try script.checkpoints(store).manifest($0).checkpoint.index
                        < script.checkpoints(store).manifest($1).checkpoint.index
                }
            let before = storage.objects
            let collector = script.collector(store, keep: keep, retain: .microseconds(retain))
            let preview = try collector.preview()
            #expect(storage.objects.mapValues(\.bytes) == before.mapValues(\.bytes), "a preview changes nothing")
            let report = try collector.collect()
            #expect(preview == report)
            #expect(Set(CollectorTests.names(storage, "checkpoint/")) == Set(kept.map { checkpoints[$0].rawValue }))
            #expect(report.checkpointCount == 4 - kept.count && report.keptCheckpointCount == kept.count)
            #expect(report.logCutIndex == cut)
            let fences = CollectionScript.termStarts.map { UInt64($0.first) }
            let log = script.objects.map(\.first).filter { $0 > cut || fences.contains($0) }
            #expect(CollectorTests.names(storage, "wal/") == log.map { StoreLayout.log(firstIndex: $0).rawValue })
            #expect(report.logObjectCount == script.objects.count - log.count)
            #expect(report.tableCount == (kept.contains(0) ? 1 : 2), "the second checkpoint merged those of the first")
            let size = before.filter { storage.objects[$0.key] == nil && !$0.key.hasPrefix("checkpoint/") }
            #expect(report.deletedSize == size.reduce(0) { $0 + UInt64($1.value.bytes.count) })
            let again = try collector.collect()
            #expect(again.checkpointCount + again.tableCount + again.logObjectCount == 0)
            #expect(again.keptCheckpointCount == kept.count && again.logCutIndex == cut)
        }
    }

    /// What a checkpoint in the window is for: one day it is the one from before the window.
    @Test func theWindowMovesOn() async throws {
        try await onThread {
            let script = try CollectorTests.script()
            let storage = try script.makeStorage(checkpoints: 4)
            let store = SteppedStore(storage)
            for (now, cut) in [(58, 0), (65, 10), (104, 50), (106, 54), (200, 56)] as [(UInt64, UInt64)] {
                let collector = Collector(
                    script.checkpoints(store), policy: CollectionPolicy(keep: 1, retain: .microseconds(51)),
                    clock: Clock { now * 1000 }, logger: .silent)
                #expect(try collector.collect().logCutIndex == cut)
            }
        }
    }

    @Test func whatDoesNotLookFamiliarIsNotTouched() async throws {
        try await onThread {
            let script = try CollectorTests.script()
            let storage = try script.makeStorage(checkpoints: 4)
            let store = BlockingStore(SteppedStore(storage))
            let id = String(repeating: "0", count: 64)
            let strange = [
                "sst/\(id)", "sst/\(id)-00", "sst/\(id)-0-1", "wal/1", "wal/00000000000000000001.tmp", "other",
                "checkpoint/0000000001/00000000000000000001/manifest.json.tmp",
                "checkpoint/0000000001/00000000000000000001/manifest-1.json",
                "checkpoint/0000000001/00000000000000000001/manifest-00000000000000000001-1.json",
                "gc/condemned/x", "gc/other", "backups", "database",
            ]
            for name in strange { _ = try store.put(ObjectKey(name), [1], when: .absent) }
            _ = try store.put(ObjectKey("sst/\(id)-0"), [1], when: .absent)
            let report = try script.collector(store.store, keep: 1).collect()
            #expect(report.tableCount == 3)
            for name in strange { #expect(storage.objects[name] != nil, "\(name)") }
            _ = try store.put("branches/a/b", [1], when: .absent)
            let error = #expect(throws: CheckpointError.self) {
                _ = try script.collector(store.store, keep: 1).collect()
            }
            #expect(error?.code == .unsupported, "it may be a pin of a later version")
        }
    }

    @Test func moreThanOneListIsCollectedInSeveralRounds() async throws {
        try await onThread {
            let script = try CollectorTests.script()
            let storage = try script.makeStorage(checkpoints: 4)
            let store = BlockingStore(SteppedStore(storage))
            for number in 0..<9 {
                let id = TableID(Array(repeating: UInt8(number), count: 32))!
                _ = try store.put(StoreLayout.table(id, epoch: 0), [1], when: .absent)
            }
            let report = try script.collector(store.store, keep: 1, listSizeMax: 4).collect()
            #expect(report.tableCount == 11 && report.checkpointCount == 3 && report.logObjectCount == 4)
            #expect(try script.checkpoints(store.store).epoch() == 3)
            #expect(CollectorTests.names(storage, "gc/") == ["gc/state"])
        }
    }

    /// Rule G1, and every other failure: whatever call fails, with or without its effect, nothing is lost, and the next
    /// collection does the rest.
    @Test(
        arguments: [StoreFault.Moment.beforeEffect, .afterEffect], [ObjectStoreError.Code.unavailable, .outcomeUnknown])
    func anyCallMayFail(_ moment: StoreFault.Moment, _ code: ObjectStoreError.Code) async throws {
        try await onThread {
            let script = try CollectorTests.script()
            var (number, failures) = (1, 0)
            while true {
                let storage = try script.makeStorage(checkpoints: 4)
                let store = SteppedStore(storage)
                let heads = CollectorTests.names(storage, "checkpoint/")
                let watcher = CollectionWatcher(script, storage, keep: 1, heads: heads)
                let (pin, _) = try script.pins(store).add(
                    .backup, id: "b", checkpoint: ObjectKey(heads[0]), keepsLog: true, at: 5)
                watcher.pinned.withLock { $0["b"] = pin }
                let faulty = FaultyStore(store, faults: [StoreFault(nil, moment, .nth(number), error: code)])
                let result = Result { try script.collector(faulty, keep: 1).collect() }
                try watcher.check()
                if case .failure = result { failures += 1 }
                let calls = StoreFault.Operation.allCases.reduce(0) { $0 + faulty.callCount($1) }
                if calls < number { break }
                try watcher.checkThatNothingIsLeftOver()
                number += 1
            }
            #expect(number > 30 && failures > 20)
        }
    }

    @Test func aDamagedRootStopsTheCollection() async throws {
        try await onThread {
            let script = try CollectorTests.script()
            let heads = CollectorTests.names(try script.makeStorage(checkpoints: 4), "checkpoint/")
            for name in ["manifest/latest", "gc/state", "backups/b", heads[0], heads[3]] {
                let storage = try script.makeStorage(checkpoints: 4)
                let store = BlockingStore(SteppedStore(storage))
                _ = try script.collector(store.store, keep: 9).collect()
                _ = try script.pins(store.store).add(
                    .backup, id: "b", checkpoint: ObjectKey(heads[0]), keepsLog: false, at: 5)
                // A pin has a nonce behind its id.
                let key = try #require(storage.objects.keys.first { $0 == name || $0.hasPrefix(name + "/") })
                var bytes = try store.get(ObjectKey(key)).bytes
                bytes[bytes.count / 2] ^= 1
                _ = try store.put(ObjectKey(key), bytes, when: .always)
                let before = storage.objects.keys
                let error = #expect(throws: CheckpointError.self, "\(name)") {
                    _ = try script.collector(store.store, keep: 1).collect()
                }
                #expect(error?.description.contains(name) == true)
                #expect(storage.objects.keys == before)
            }
        }
    }

    @Test func theLibraryFindsTheDatabaseItself() async throws {
        await #expect(throws: CheckpointError.self) {
            try await GarbageCollection.run(
                in: SteppedStore(SteppedStorage()), policy: CollectionPolicy(), logger: .silent)
        }
        let storage = try await onThread { try CollectorTests.script().makeStorage(checkpoints: 4) }
        let database = try DatabaseObject(CollectionScript.databaseID, created: 1).encoded()
        _ = try await SteppedStore(storage).put(StoreLayout.database, .bytes(database), when: .absent)
        let policy = CollectionPolicy(keep: 2, retain: .zero)
        let preview = try await GarbageCollection.run(
            in: SteppedStore(storage), policy: policy, isDryRun: true, logger: .silent)
        let report = try await GarbageCollection.run(in: SteppedStore(storage), policy: policy, logger: .silent)
        #expect(preview == report && report.checkpointCount == 2)
    }
}
