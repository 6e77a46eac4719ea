import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

@Suite struct StateTrailTests {
    func mark(_ index: UInt64, term: UInt64 = 1) -> StateTrail.Mark {
        StateTrail.Mark(position: LogPosition(term: term, index: index), meta: .initial, time: index)
    }

    /// Whatever comes first, the newest mark is the last index that both lists have.
    @Test(arguments: 1...60 as ClosedRange<UInt64>) func newestIsWhatBothHave(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let trail = StateTrail()
        let share = Double.random(in: 0.05...0.9, using: &random)
        var applied = (1...400 as ClosedRange<UInt64>).filter { _ in Double.random(in: 0..<1, using: &random) < share }
        var ends = (1...400 as ClosedRange<UInt64>).filter { _ in Bool.random(using: &random) }
        var (seenApplied, seenEnds): (Set<UInt64>, Set<UInt64>) = ([], [])
        while !applied.isEmpty || !ends.isEmpty {
            if ends.isEmpty || !applied.isEmpty && Bool.random(using: &random) {
                let index = applied.removeFirst()
                seenApplied.insert(index)
                trail.applied(mark(index))
            } else {
                let index = ends.removeFirst()
                seenEnds.insert(index)
                trail.uploaded(to: LogPosition(term: 1, index: index))
            }
            #expect(trail.newest?.position.index == seenApplied.intersection(seenEnds).max())
        }
    }

    /// A long outage: memory stays bounded, and the newest mark is there when the store is back.
    @Test func ofVeryManyTheNewestIsKept() {
        let trail = StateTrail()
        for index in 1...400_000 as ClosedRange<UInt64> { trail.applied(mark(index)) }
        trail.uploaded(to: LogPosition(term: 1, index: 400_000))
        #expect(trail.newest?.position.index == 400_000)
    }

    @Test func anEndOfAnotherTermIsNoMark() {
        let trail = StateTrail()
        trail.applied(mark(5, term: 1))
        trail.uploaded(to: LogPosition(term: 2, index: 5))
        #expect(trail.newest == nil)
        trail.uploaded(to: LogPosition(term: 2, index: 6))
        trail.applied(mark(6, term: 2))
        #expect(trail.newest == mark(6, term: 2))
    }
}
