import T4Protocols
import Testing

@testable import T4Core

@Suite struct StoreLayoutTests {
    @Test func namesAreReadBack() throws {
        let id = try #require(TableID([UInt8](repeating: 0xAB, count: 32)))
        let table = try #require(StoreLayout.table(StoreLayout.table(id, epoch: 12)))
        #expect(table.id == id && table.epoch == 12)
        #expect(StoreLayout.firstIndex(StoreLayout.log(firstIndex: .max)) == .max)
        #expect(StoreLayout.log(firstIndex: 7) == "wal/00000000000000000007")
        let names = [nil, 5].map { StoreLayout.checkpoint(term: 3, revision: Revision(9), index: $0) }
        #expect(
            names == [
                "checkpoint/0000000003/00000000000000000009/manifest.json",
                "checkpoint/0000000003/00000000000000000009/manifest-00000000000000000005.json",
            ])
        #expect(names.allSatisfy(StoreLayout.isCheckpoint))
    }

    @Test func otherNamesAreNone() {
        let id = String(repeating: "ab", count: 32)
        for name in ["sst/\(id)", "sst/\(id)-", "sst/\(id)-+1", "sst/\(id)-01", "sst/\(id.uppercased())-1", "sst/ab-1"]
        {
            #expect(StoreLayout.table(ObjectKey(name)) == nil, "\(name)")
        }
        for name in ["wal/1", "wal/0000000000000000000x", "wal/99999999999999999999", "sst/00000000000000000001"] {
            #expect(StoreLayout.firstIndex(ObjectKey(name)) == nil, "\(name)")
        }
        for name in ["checkpoint/3/9/manifest.json", "checkpoint/0000000003/00000000000000000009/manifest-5.json"] {
            #expect(!StoreLayout.isCheckpoint(ObjectKey(name)), "\(name)")
        }
    }
}
