// Goal: joining objects changes their number and nothing else. Method: chains in memory, read before, in between and
// after, with a store that fails at every call.
import Logging
import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

struct LogMergerTests {
    /// Uploads objects of two entries each.
    private func upload(_ base: any ObjectStore, _ count: Int) async throws -> [LogUploader.Object] {
        let run = UploadRun(base, isSynchronous: true)
        for number in 0..<count {
            run.add(number * 2 + 1...number * 2 + 2)
            let end = UInt64(number * 2 + 2)
            try await onThread { _ = run.uploader.wait(for: end) }
        }
        let objects = run.uploader.takeObjects(through: .max)
        try await onThread { run.stop() }
        return objects
    }

    private func merger(_ base: any ObjectStore) -> LogMerger {
        LogMerger(BlockingStore(base), databaseID: LogFixture.databaseID, term: 1) { range in
            LogFixture.entries(Int(range.lowerBound)...Int(range.upperBound))
        }
    }

    private func read(_ base: any ObjectStore) async throws -> (entries: [LogEntry], end: LogChain.End) {
        try await onThread {
            var entries: [LogEntry] = []
            let end = try LogChain(BlockingStore(base), databaseID: LogFixture.databaseID).read(after: .zero) { entry in
                entries.append(entry)
                return .next
            }
            return (entries, end)
        }
    }

    private func names(_ base: any ObjectStore) async throws -> [String] {
        try await base.list(prefix: "wal/", after: nil, limit: 1000).objects.map { String($0.key.rawValue.suffix(2)) }
    }

    @Test func manyBecomeFew() async throws {
        let base = try await makeMemoryStore()
        let objects = try await upload(base, 20)
        #expect(objects.count == 20)
        let before = try await read(base)
        let merger = merger(base)
        let removed = try await onThread { try merger.merge(objects) }
        #expect(removed == 19)
        #expect(try await names(base) == ["01"])
        let after = try await read(base)
        #expect(after.entries == before.entries)
        #expect(after.end.position == before.end.position && after.end.term == before.end.term)
    }

    @Test func groupsEndAtTheSizeAndAtGaps() async throws {
        let base = try await makeMemoryStore()
        var objects = try await upload(base, 20)
        var merger = merger(base)
        merger.sizeMax = objects[0].size * 4
        objects.remove(at: 6)
        let (final, list) = (merger, objects)
        let removed = try await onThread { try final.merge(list) }
        // 1-4, 5-6 (the gap), 8-11, 12-15, 16-19, 20
        #expect(removed == 3 + 1 + 3 + 3 + 3)
        #expect(try await names(base) == ["01", "09", "13", "15", "23", "31", "39"])
        #expect(try await read(base).entries == LogFixture.entries(1...40))
    }

    @Test(arguments: [StoreFault.Moment.beforeEffect, .afterEffect])
    func aFailureAnywhereLeavesTheChainWhole(_ moment: StoreFault.Moment) async throws {
        for code in [ObjectStoreError.Code.outcomeUnknown, .unavailable, .conditionFailed] {
            for call in 1...8 {
                let base = try await makeMemoryStore()
                let objects = try await upload(base, 12)
                let faulty = FaultyStore(base, faults: [StoreFault(nil, moment, .from(call), error: code)])
                var merger = merger(faulty)
                merger.sizeMax = objects[0].size * 4
                let final = merger
                do { _ = try await onThread { try final.merge(objects) } } catch {}
                #expect(try await read(base).entries == LogFixture.entries(1...24), "\(moment) \(code) call \(call)")
            }
        }
    }

    /// Somebody else has changed the first object: nothing is deleted.
    @Test func onlyWhatIsUnchangedIsJoined() async throws {
        let base = try await makeMemoryStore()
        let objects = try await upload(base, 4)
        let key = StoreLayout.log(firstIndex: 1)
        let bytes = try await base.get(key, bytes: nil).bytes
        _ = try await base.put(key, .bytes(bytes), when: .always)
        let merger = merger(base)
        await #expect(throws: ObjectStoreError.self) { _ = try await onThread { try merger.merge(objects) } }
        #expect(try await names(base).count == 4)
    }

    /// A reader that listed the objects before they were joined goes on with the joined one.
    @Test func aReaderGoesOn() async throws {
        for place in 1...39 {
            let base = try await makeMemoryStore()
            let objects = try await upload(base, 20)
            let merger = merger(base)
            let entries = try await onThread {
                var entries: [LogEntry] = []
                _ = try LogChain(BlockingStore(base), databaseID: LogFixture.databaseID).read(after: .zero) { entry in
                    entries.append(entry)
                    if entries.count == place { _ = try merger.merge(objects) }
                    return .next
                }
                return entries
            }
            #expect(entries.map(\.position.index) == Array(1...40), "joined at entry \(place)")
        }
    }
}
