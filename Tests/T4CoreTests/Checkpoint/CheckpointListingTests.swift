// Goal: what checkpoints there are is told by their names, whichever database they belong to and whatever else is wrong.
import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

@Suite struct CheckpointListingTests {
    private func put(_ names: [ObjectKey], _ store: any ObjectStore, _ body: [UInt8] = [1]) async throws {
        for name in names { _ = try await store.put(name, .bytes(body), when: .always) }
    }

    @Test func aDatabaseMayHaveNone() async throws {
        let store = try await makeMemoryStore()
        let none = try await CheckpointListing(of: store)
        #expect(none.entries.isEmpty && none.latest == nil)
        #expect(none.problem?.message == "there is no database in this place: database is missing")
        try await put([StoreLayout.database], store)
        let empty = try await CheckpointListing(of: store)
        #expect(empty.entries.isEmpty && empty.latest == nil && empty.problem == nil)
    }

    @Test func theHeadNamesTheLatest() async throws {
        let store = try await makeMemoryStore()
        let written = try await onThread {
            let fixture = try CheckpointFixture(store)
            return try (1...3).map { _ in
                try fixture.extend(30)
                return try #require(try fixture.writer().write(fixture.mark()))
            }
        }
        let listing = try await CheckpointListing(of: store)
        #expect(listing.entries.map(\.key) == written.map(\.key))
        #expect(listing.entries.map(\.term) == written.map(\.file.checkpoint.term))
        #expect(listing.entries.map(\.revision.rawValue) == written.map(\.file.checkpoint.revision))
        #expect(listing.latest == written.last?.key && listing.problem == nil)
        // Without the checkpoint that it names, the head is of no use.
        try await store.delete([written[2].key])
        let less = try await CheckpointListing(of: store)
        #expect(less.entries.map(\.key) == written.dropLast().map(\.key) && less.latest == written[2].key)
        #expect(less.problem?.message == "manifest/latest names \(written[2].key), which is not there")
    }

    @Test func onlyNamesOfCheckpointsCount() async throws {
        let store = try await makeMemoryStore()
        let good = StoreLayout.checkpoint(term: 2, revision: Revision(7), index: 9)
        try await put(
            [
                good, "checkpoint/1/2/manifest.json", "checkpoint/0000000001/00000000000000000050/other.json",
                "checkpoint/0000000001/99999999999999999999/manifest.json", "checkpoint", "wal/00000000000000000001",
            ], store)
        let listing = try await CheckpointListing(of: store)
        #expect(listing.entries == [CheckpointListing.Entry(good)])
        #expect(listing.entries.first?.term == 2 && listing.entries.first?.revision == Revision(7))
    }

    @Test func aDamagedHeadHidesNothing() async throws {
        let store = try await makeMemoryStore()
        let names = (1...1500).map { StoreLayout.checkpoint(term: 1, revision: Revision($0), index: nil) }
        try await put(names, store)
        try await put([StoreLayout.head], store)
        let listing = try await CheckpointListing(of: store)
        #expect(listing.entries.map(\.key) == names && listing.latest == nil)
        #expect(listing.problem?.code == .corrupted)
    }
}
