import T4Protocols
import Testing

@testable import T4Core

@Suite struct StoreStatusTests {
    @Test func countsWhatIsThere() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let error = #expect(throws: CheckpointError.self) { try StoreStatus(BlockingStore(base)) }
            #expect(error?.message == "there is no database in this place: database is missing")
            let database = try StoredDatabase(base)
            let empty = try StoreStatus(BlockingStore(base))
            #expect(empty.head == nil && empty.log.objects == 0 && empty.branches.isEmpty)
            for _ in 0..<2 {
                for size in [20, 1] { try database.extend(size) }
                try database.checkpoint()
            }
            for key in ["sst/x", "wal/1", "checkpoint/x", "stray"] as [ObjectKey] {
                _ = try database.store.put(key, [1], when: .always)
            }
            _ = try PinBoard(database.checkpoints).add(
                .branch, id: "staging", checkpoint: database.written[0].key, keepsLog: false, at: 5)
            let status = try StoreStatus(database.store)
            #expect(status.head?.checkpoint == database.written[1].key.rawValue)
            #expect(status.checkpoints.objects == 2 && status.log.objects == 4)
            var tables = StoreListing()
            try tables.add(StoreLayout.tables, of: database.store)
            #expect(status.tables.objects == tables.tables.count && status.tables.objects > 2)
            #expect(status.tables.bytes == tables.tables.reduce(0) { $0 + $1.size } && status.tables.bytes > 1000)
            #expect(status.branches.map(\.id) == ["staging"])
            #expect(status.branches.map(\.checkpoint) == [database.written[0].key.rawValue])
        }
    }
}
