import T4Protocols
import Testing

@testable import T4Core

/// Goal: one writer alone has a term in the chain. Method: two that believe to have the same one.
@Suite struct ChainFenceTests {
    private func term(_ time: UInt64) -> LogEntry {
        LogEntry(position: LogPosition(term: 3, index: 1), time: time, revision: .none, kind: .term, body: [])
    }

    @Test func ofTwoWithOneTermOneGoesOnWithALater() async throws {
        let store = BlockingStore(try await makeMemoryStore())
        var random = SystemRandomNumberGenerator()
        let database = DatabaseID.random(using: &random)
        let chain = StoreChain(
            LogChain(store, databaseID: database), CheckpointStore(store, databaseID: database))
        try await SystemThread.run("fence") {
            let empty = try chain.read(keepingBehind: 0)
            #expect(try chain.fence([self.term(1)], term: 3, behind: empty) == .stored(through: 1))
            // Sent again, for the answer was lost.
            #expect(try chain.fence([self.term(1)], term: 3, behind: empty) == .stored(through: 1))
            #expect(try chain.fence([self.term(2)], term: 3, behind: empty) == .deposed(by: 4))
        }
    }
}
