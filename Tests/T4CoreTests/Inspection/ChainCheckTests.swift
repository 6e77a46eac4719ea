import T4Protocols
import Testing

@testable import T4Core

@Suite struct ChainCheckTests {
    /// An object of the entries in a range, all of one term.
    func object(
        _ indexes: ClosedRange<UInt64>, term: UInt64 = 1, header: UInt64? = nil, after previous: UInt64 = 1
    ) -> ChainCheck.Object {
        let position =
            indexes.lowerBound == 1 ? LogPosition.zero : LogPosition(term: previous, index: indexes.lowerBound - 1)
        return ChainCheck.Object(
            firstIndex: indexes.lowerBound,
            content: .init(
                header: SegmentHeader(databaseID: LogFixture.databaseID, term: header ?? term, previous: position),
                end: LogPosition(term: term, index: indexes.upperBound)))
    }

    func damaged(_ firstIndex: UInt64) -> ChainCheck.Object { ChainCheck.Object(firstIndex: firstIndex) }

    func checkpoint(_ index: UInt64, term: UInt64 = 1, isPinned: Bool = false) -> ChainCheck.Checkpoint {
        ChainCheck.Checkpoint(
            key: ObjectKey("c\(index)"), position: LogPosition(term: term, index: index), isPinned: isPinned)
    }

    /// Names of the objects that something is wrong with, and of those that are noted.
    func check(
        _ objects: [ChainCheck.Object], _ checkpoints: [ChainCheck.Checkpoint] = [], isCollected: Bool = false
    ) -> (problems: [String], notes: [String], end: UInt64) {
        let check = ChainCheck(objects, checkpoints, isCollected: isCollected)
        return (check.problems.map(\.object), check.notes.map(\.object), check.end.index)
    }

    func name(_ index: UInt64) -> String { StoreLayout.log(firstIndex: index).rawValue }

    @Test func aChainIsFollowed() {
        #expect(check([]) == ([], [], 0))
        let objects = [object(1...3), object(4...4), object(5...9, term: 2)]
        #expect(check(objects) == ([], [], 9))
        #expect(check(objects, [checkpoint(3), checkpoint(9, term: 2)]) == ([], [], 9))
        // Later terms may upload entries of earlier ones.
        #expect(check([object(1...3, header: 4), object(4...5, header: 5)]) == ([], [], 5))
    }

    @Test func aCheckpointInsideAnObjectOrOfAnotherTermIsNamed() {
        let objects = [object(1...3), object(4...6)]
        #expect(check(objects, [checkpoint(5)]) == (["c5"], [], 6))
        #expect(check(objects, [checkpoint(3), checkpoint(6, term: 2)]) == (["c6"], [], 6))
        #expect(check(objects, [checkpoint(8)]) == (["c8"], [], 6))
    }

    @Test func whatIsMissingBeforeACheckpointIsNamed() {
        let rest = [object(1...3), object(7...9), object(10...10)]
        #expect(check(rest, [checkpoint(3), checkpoint(9)]) == ([name(4)], [], 10))
        // The checkpoint's own end is in what is missing.
        #expect(check(rest, [checkpoint(5), checkpoint(10)]) == ([name(4)], [], 10))
        #expect(check([object(4...6)], [checkpoint(3), checkpoint(6)]) == ([], [], 6))
        #expect(check([object(3...3), object(4...6)], [checkpoint(3), checkpoint(6)]) == ([name(1)], [], 6))
        #expect(check([object(5...6)], [checkpoint(3), checkpoint(6)]) == ([name(4)], [], 6))
    }

    /// With nothing behind that needs them, objects after a gap may be uploads that were cut off: as many as there can be.
    @Test func aGapAtTheEndIsNotedUntilItIsTooLarge() {
        let objects = [object(1...3)] + (5...68 as ClosedRange<UInt64>).map { object($0...$0) }
        #expect(check(Array(objects.prefix(64)), [checkpoint(3)]) == ([], (5...67).map { name($0) }, 3))
        #expect(check(objects, [checkpoint(3)]) == ([name(4)], [], 68))
    }

    @Test func orphansAreNoted() {
        // Inside the range of an object of the chain, and behind the end by a node of an earlier term.
        let objects = [object(1...6), object(3...4), object(7...8), object(9...9, term: 1, after: 3)]
        #expect(check(objects, [checkpoint(8)]) == ([], [name(3), name(9)], 8))
        let deposed = [object(1...3, header: 4), object(4...5, header: 3)]
        #expect(check(deposed) == ([], [name(4)], 3))
        // The same before a checkpoint: what it needs is not there.
        #expect(check(deposed + [object(6...7, header: 4)], [checkpoint(7)]) == ([name(4)], [], 7))
    }

    @Test func damageHidesOnlyWhatItHolds() {
        let objects = [object(1...3), damaged(4), object(7...9), object(10...12)]
        let ends = [checkpoint(5), checkpoint(9), checkpoint(12)]
        #expect(check(objects, ends) == ([], [], 12))
        #expect(check(objects, ends + [checkpoint(11)]) == (["c11"], [], 12))
        #expect(check([object(1...3), damaged(4)], [checkpoint(9)]) == ([], [], 3))
        // A damaged orphan is none of the chain's business.
        #expect(check([object(1...6), damaged(3), object(7...8)], [checkpoint(8)]) == ([], [], 8))
    }

    /// A collection leaves what is needed behind the oldest checkpoint, and the first object of each term.
    @Test func collectedObjectsAreNotMissed() {
        let objects = [object(1...2), object(9...10, term: 2), object(11...12, term: 2, after: 2)]
        let ends = [checkpoint(10, term: 2), checkpoint(12, term: 2)]
        #expect(check(objects, ends, isCollected: true) == ([], [], 12))
        #expect(check(objects, ends, isCollected: false).problems == [name(3)])
        let pinned = [checkpoint(4, isPinned: true)] + ends
        #expect(check(objects, pinned, isCollected: true) == ([], [], 12))
        #expect(check(objects, [checkpoint(4)] + ends, isCollected: true).problems == [name(5)])
    }
}
