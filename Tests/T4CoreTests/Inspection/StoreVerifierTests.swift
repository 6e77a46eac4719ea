import Logging
import Synchronization
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

// Damage of every kind in every class of objects must be found and named, and must keep nothing else from being verified.

@Suite struct StoreVerifierTests {
    /// Three checkpoints, with log behind the last one.
    func makeDatabase(_ base: any ObjectStore) throws -> StoredDatabase {
        let database = try StoredDatabase(base, seed: 21)
        for _ in 0..<3 {
            for size in [3, 1, 5] { try database.extend(size) }
            try database.checkpoint()
        }
        for size in [2, 4] { try database.extend(size) }
        return database
    }

    /// The same, whose first checkpoint a branch has pinned and whose second one a collection has removed.
    func makeCollectedDatabase(_ base: any ObjectStore) throws -> StoredDatabase {
        let database = try makeDatabase(base)
        let pinned = database.written[0].key
        _ = try PinBoard(database.checkpoints).add(.branch, id: "staging", checkpoint: pinned, keepsLog: false, at: 5)
        let collector = Collector(
            database.checkpoints, policy: CollectionPolicy(keep: 1, retain: .zero), clock: Clock { 1 << 60 },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let report = try collector.collect()
        #expect(report.checkpointCount == 1 && report.logObjectCount > 0)
        return database
    }

    func names(_ database: StoredDatabase) throws -> [ObjectKey] {
        var names: [ObjectKey] = []
        try database.store.list("") { names.append($0.key) }
        return names
    }

    @Test(arguments: [StoreVerifier.Depth.objects, .newestState, .allStates])
    func anIntactDatabaseIsClean(_ depth: StoreVerifier.Depth) async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let database = try makeDatabase(base)
            let seen = Mutex<[StoreVerifier.Progress]>([])
            let report = try StoreVerifier(database.store, depth: depth) {
                throw CheckpointError(.unsupported, $0)
            } progress: { step in
                seen.withLock { $0.append(step) }
            }.run()
            #expect(report.isClean && report.notes.isEmpty, "\(report.text)")
            #expect(report.counts[.checkpoints]?.objects == 3 && report.counts[.log]?.objects == 11)
            let objects = try names(database)
            #expect(report.counts.values.reduce(0) { $0 + $1.objects } == objects.count)
            let size = try objects.reduce(0) { try $0 + database.store.get($1).bytes.count }
            #expect(report.counts.values.reduce(0) { $0 + $1.bytes } == UInt64(size))
            #expect(report.end == database.history.position)
            let (digests, stretches) = depth == .objects ? (0, 0) : depth == .newestState ? (1, 0) : (3, 2)
            #expect(report.digests == digests && report.stretches == stretches)
            let log = seen.withLock { $0.filter { $0.what == "log" } }
            #expect(log.map(\.done) == Array(1...11) && log.allSatisfy { $0.all == 11 })
        }
    }

    @Test(arguments: [false, true]) func aWrongByteAnywhereIsFoundAndNamed(_ isCollected: Bool) async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let database = try isCollected ? makeCollectedDatabase(base) : makeDatabase(base)
            let isClean = try database.verify(.allStates).isClean
            #expect(isClean)
            for key in try names(database) {
                let bytes = try database.store.get(key).bytes
                // Every byte of what is small.
                let step = key == StoreLayout.database || key == StoreLayout.head ? 1 : max(1, bytes.count / 25)
                for offset in stride(from: 0, to: bytes.count, by: step) {
                    var wrong = bytes
                    wrong[offset] ^= 1 << UInt8(offset % 7)
                    _ = try database.store.put(key, wrong, when: .always)
                    let report = try database.verify()
                    #expect(
                        report.problems.map(\.object) == [key.rawValue], "byte \(offset) of \(key): \(report.text)")
                }
                _ = try database.store.put(key, bytes, when: .always)
            }
            let report = try database.verify()
            #expect(report.isClean)
        }
    }

    @Test(arguments: [false, true]) func aCutOffObjectIsFoundAndNamed(_ isCollected: Bool) async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let database = try isCollected ? makeCollectedDatabase(base) : makeDatabase(base)
            for key in try names(database) {
                let bytes = try database.store.get(key).bytes
                for wrong in [Array(bytes.dropLast()), Array(bytes.prefix(bytes.count / 2)), [], bytes + [0]] {
                    _ = try database.store.put(key, wrong, when: .always)
                    let report = try database.verify()
                    #expect(report.problems.map(\.object) == [key.rawValue], "\(wrong.count) bytes: \(report.text)")
                }
                _ = try database.store.put(key, bytes, when: .always)
            }
        }
    }

    /// But for the last object of the log, which might never have been there.
    @Test func aLostObjectIsFoundAndNamed() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let database = try makeDatabase(base)
            let all = try names(database)
            let newest = try #require(database.written.last).file.checkpoint
            let log = all.compactMap(StoreLayout.firstIndex)
            for key in all {
                let bytes = try database.store.get(key).bytes
                try database.store.delete([key])
                let report = try database.verify()
                if let index = StoreLayout.firstIndex(key), index > newest.index {
                    #expect(report.isClean)
                    let following = log.filter { $0 > index }.map { StoreLayout.log(firstIndex: $0).rawValue }
                    #expect(report.notes.map(\.object) == following)
                } else {
                    #expect(report.problems.map(\.object) == [key.rawValue], "\(report.text)")
                }
                _ = try database.store.put(key, bytes, when: .always)
            }
        }
    }

    @Test func swappedObjectsAreFoundAndNamed() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let database = try makeDatabase(base)
            let all = try names(database)
            for (number, key) in all.enumerated() {
                let other = all[(number + 1) % all.count]
                let bytes = try [key, other].map { try database.store.get($0).bytes }
                _ = try database.store.put(key, bytes[1], when: .always)
                _ = try database.store.put(other, bytes[0], when: .always)
                let report = try database.verify()
                let named = Set(report.problems.map(\.object))
                #expect(named.isSuperset(of: [key.rawValue, other.rawValue]), "\(report.text)")
                _ = try database.store.put(key, bytes[0], when: .always)
                _ = try database.store.put(other, bytes[1], when: .always)
            }
        }
    }

    /// Everything at once is named at once.
    @Test func damageKeepsNothingElseFromBeingVerified() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let database = try makeDatabase(base)
            let all = try names(database)
            for key in all {
                var bytes = try database.store.get(key).bytes
                bytes[bytes.count / 2] ^= 1
                _ = try database.store.put(key, bytes, when: .always)
            }
            let report = try database.verify(.allStates)
            // Which tables there should be is said by checkpoints alone.
            let readable = all.filter { !$0.rawValue.hasPrefix("sst/") }
            #expect(Set(report.problems.map(\.object)) == Set(readable.map(\.rawValue)), "\(report.text)")
            #expect(report.digests == 0)
        }
    }

    @Test func whatBelongsToNobodyIsNoted() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let database = try makeDatabase(base)
            var writer = TableWriter()
            try writer.add(TableRow(name: SystemRow.lease(77), value: [1]))
            let finished = writer.finish()
            let table = try #require(finished)
            let orphans: [ObjectKey] = [
                StoreLayout.table(table.id, epoch: 3), "sst/x", "stray", "other/a", "other/b",
                StoreLayout.log(firstIndex: 2),
            ]
            let behind = LogObject.encode(
                LogFixture.entries(2...3), databaseID: StoredDatabase.databaseID, term: 1,
                previous: LogPosition(term: 1, index: 1))
            for key in orphans {
                _ = try database.store.put(key, key == orphans.last ? behind : table.bytes, when: .always)
            }
            let report = try database.verify(.allStates)
            #expect(report.isClean, "\(report.text)")
            let expected = [orphans[0].rawValue, "sst/", "stray", "other/", orphans[5].rawValue]
            #expect(Set(report.notes.map(\.object)) == Set(expected), "\(report.text)")
        }
    }

    // MARK: - Collections

    @Test func whatCollectionsAndPinsKeepIsMissed() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let database = try makeCollectedDatabase(base)
            let state = try #require(try database.checkpoints.collectionState()).object
            let fence = try #require(state.floor.fences.first)
            let kept = database.written[0]
            let table = try #require(kept.file.envelope.places.values.first)
            for key in [kept.key, StoreLayout.log(firstIndex: fence), ObjectKey(table.key)] {
                let bytes = try database.store.get(key).bytes
                try database.store.delete([key])
                let report = try database.verify()
                #expect(Set(report.problems.map(\.object)) == [key.rawValue], "\(report.text)")
                _ = try database.store.put(key, bytes, when: .always)
            }
            let report = try database.verify(.allStates)
            #expect(report.isClean && report.notes.isEmpty, "\(report.text)")
            #expect(report.counts[.pins]?.objects == 1 && (report.counts[.collection]?.objects ?? 0) > 0)
            #expect(report.digests == 2)
        }
    }

    /// Nobody may rely on a checkpoint that never became the newest.
    @Test func partsOfACheckpointThatNeverCountedAreNotMissed() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let database = try makeDatabase(base)
            let newest = database.written[2].file
            var manifest = newest.checkpoint
            manifest.base[0].id = String(repeating: "a", count: 64)
            var envelope = newest.envelope
            envelope.places[manifest.base[0].id] = .init(key: "sst/gone-0", size: 1)
            let late = try ManifestFile(manifest, envelope)
            let key = StoreLayout.checkpoint(
                term: manifest.term, revision: Revision(manifest.revision), index: manifest.index)
            _ = try database.store.put(key, late.encoded(), when: .absent)
            let report = try database.verify(.allStates)
            #expect(report.isClean, "\(report.text)")
            #expect(Set(report.notes.map(\.object)) == [key.rawValue, "sst/gone-0"], "\(report.text)")
        }
    }

    // MARK: - States

    /// Rows that are intact, but not those of which the digest was made.
    @Test func aWrongDigestIsFoundByAddingUp() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let database = try StoredDatabase(base)
            try database.extend(20)
            let first = try database.checkpoint { $0.keys += 1 }
            try database.extend(20)
            let second = try database.checkpoint { $0.digest.add(name: [5, 1], value: []) }
            #expect(try database.verify().isClean)
            #expect(try database.verify(.newestState).problems.map(\.object) == [second.key.rawValue])
            let report = try database.verify(.allStates)
            let sums = [first.key, second.key].map(\.rawValue)
            // The second is not what the log makes of the first either.
            #expect(report.problems.map(\.object).sorted() == (sums + [second.key.rawValue]).sorted())
        }
    }

    /// An object of the log that is intact, but not the one from which the checkpoint was made.
    @Test func anotherLogIsFoundByFolding() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let database = try makeDatabase(base)
            let second = database.written[1]
            let key = StoreLayout.log(firstIndex: database.written[0].file.checkpoint.index + 1)
            let object = try LogObject(
                database.store.get(key).bytes, key: key, databaseID: StoredDatabase.databaseID)
            var entries = object.entries
            entries[0].body += MutationCoding.encode([.grant(LeaseRecord(id: 999, ttl: 5))])
            let changed = LogObject.encode(
                entries, databaseID: StoredDatabase.databaseID, term: object.header.term,
                previous: object.header.previous)
            _ = try database.store.put(key, changed, when: .always)
            #expect(try database.verify(.newestState).isClean)
            let report = try database.verify(.allStates)
            #expect(report.problems.map(\.object) == [second.key.rawValue], "\(report.text)")
            #expect(report.digests == 3 && report.stretches == 2)
        }
    }

    // MARK: - Beside others

    /// A checkpoint that is collected while it is verified is not missed.
    @Test func whatIsRemovedMeanwhileIsNotMissed() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let database = try makeDatabase(base)
            let kept = Set(database.written[1...].flatMap { $0.file.checkpoint.tables.map(\.id) })
            let places = database.written[0].file.envelope.places
            let tables = places.filter { !kept.contains($0.key) }.values.map { ObjectKey($0.key) }
            #expect(!tables.isEmpty)
            let first = database.written[0].key
            let isDone = Mutex(false)
            // The manifest has been read when the first table is asked for.
            let store = WatchedStore(base) { (key) throws(ObjectStoreError) in
                guard key.rawValue.hasPrefix("sst/"), isDone.withLock({ exchangeTrue(&$0) }) else { return }
                try await base.delete([first] + tables)
            }
            let report = try StoreVerifier(BlockingStore(store), depth: .objects) {
                throw CheckpointError(.unsupported, $0)
            }.run()
            #expect(report.isClean, "\(report.text)")
            #expect(isDone.withLock { $0 })
        }
    }

    @Test(arguments: ["", "wal/", "sst/", "checkpoint/"])
    func aStoreThatDoesNotAnswerIsAnErrorAndNoDamage(_ prefix: String) async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            _ = try makeDatabase(base)
            let faulty = FaultyStore(base, faults: [StoreFault(.get, prefix: prefix)])
            let error = #expect(throws: ObjectStoreError.self) {
                try StoreVerifier(BlockingStore(faulty), depth: .objects) {
                    throw CheckpointError(.unsupported, $0)
                }.run()
            }
            #expect(error?.code == .unavailable)
        }
    }

    @Test func anEmptyPrefixIsNoDatabase() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let report = try StoreVerifier(BlockingStore(base), depth: .allStates) {
                throw CheckpointError(.unsupported, $0)
            }.run()
            #expect(report.problems.map(\.object) == ["database"])
        }
    }
}

/// True the first time.
private func exchangeTrue(_ flag: inout Bool) -> Bool {
    defer { flag = true }
    return !flag
}

/// A store that tells of each object before it is read.
private struct WatchedStore: ObjectStore {
    let base: any ObjectStore
    let willGet: @Sendable (ObjectKey) async throws(ObjectStoreError) -> Void

    init(_ base: any ObjectStore, willGet: @escaping @Sendable (ObjectKey) async throws(ObjectStoreError) -> Void) {
        self.base = base
        self.willGet = willGet
    }

    var capabilities: ObjectStoreCapabilities { base.capabilities }

    func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        try await willGet(key)
        return try await base.get(key, bytes: bytes)
    }

    func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo { try await base.info(key) }

    func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        try await base.put(key, payload, when: condition)
    }

    func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        try await base.list(prefix: prefix, after: after, limit: limit)
    }

    func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) { try await base.delete(keys) }

    func close() async { await base.close() }
}
