import Synchronization
import T4Protocols
import Testing

@testable import T4Core

/// Goal: a log takes over what the chain has, however much that is, in one reading. Method: a chain that counts.
@Suite struct ChainAdoptionTests {
    private final class Chain: ReplicaChain {
        let entries: [LogEntry]
        let visits = Mutex(0)

        init(_ entries: [LogEntry]) { self.entries = entries }

        func read(keepingBehind index: UInt64) throws -> ChainReading {
            var log = TermLog()
            for entry in entries { log.append(term: entry.position.term) }
            return ChainReading(view: ChainView(log: log, headerTerm: 1), time: 1, entries: nil)
        }

        func visit(after index: UInt64, _ visit: (LogEntry) throws -> LogStep) throws {
            visits.withLock { $0 += 1 }
            for entry in entries where entry.position.index > index {
                if try visit(entry) == .stop { return }
            }
        }

        func fence(
            _ entries: [LogEntry], term: UInt64, behind chain: ChainReading
        ) throws -> ReplicaEvent.FenceOutcome { .taken }

        func covered() throws -> UInt64 { 0 }
    }

    private func entries(_ count: UInt64, body: Int) -> [LogEntry] {
        (1...count).map {
            LogEntry(
                position: LogPosition(term: 1, index: $0), time: $0, revision: .none, kind: .mutations,
                body: [UInt8](repeating: 1, count: body))
        }
    }

    @Test func oneReadingIsEnough() throws {
        for (count, body) in [(10_000, 3), (40, 300_000), (1, 3_000_000)] as [(UInt64, Int)] {
            let chain = Chain(entries(count, body: body))
            var adopted: [LogPosition] = []
            var sizes: [Int] = []
            let adoption = ChainAdoption(chain: chain, reading: try chain.read(keepingBehind: 0), after: 0, last: count)
            try adoption.run { piece in
                adopted += piece.map(\.position)
                sizes.append(piece.reduce(0) { $0 + $1.body.count })
                #expect(!piece.isEmpty && piece.count <= 1024)
            }
            #expect(adopted == chain.entries.map(\.position))
            #expect(chain.visits.withLock { $0 } == 1)
            #expect((sizes.max() ?? 0) <= max(body, (1 << 20) + body))
        }
    }

    /// The chain is another one by now.
    @Test func aChangeIsAnError() throws {
        let chain = Chain(entries(10, body: 1))
        let reading = try chain.read(keepingBehind: 0)
        let shorter = Chain(Array(chain.entries.prefix(7)))
        #expect(throws: LogError.self) {
            try ChainAdoption(chain: shorter, reading: reading, after: 2, last: 10).run { _ in }
        }
        let other = Chain(
            chain.entries.map {
                var entry = $0
                if entry.position.index > 5 { entry.position.term = 2 }
                return entry
            })
        var last: UInt64 = 0
        #expect(throws: LogError.self) {
            try ChainAdoption(chain: other, reading: reading, after: 0, last: 10).run {
                last = $0.last?.position.index ?? last
            }
        }
        #expect(last <= 5)
    }
}
