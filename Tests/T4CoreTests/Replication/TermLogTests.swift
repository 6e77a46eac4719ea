import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: the runs of terms say the same as a list of entries would. Method: random operations on both.
@Suite struct TermLogTests {
    /// The same, entry by entry.
    private struct Model {
        var base = LogPosition.zero
        var terms: [UInt64] = []

        func term(at index: UInt64) -> UInt64? {
            if index == base.index { return base.term }
            guard index > base.index, index <= base.index + UInt64(terms.count) else { return nil }
            return terms[Int(index - base.index) - 1]
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func itIsAListOfTerms(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var (log, model) = (TermLog(), Model())
        var term: UInt64 = 1
        for _ in 0..<300 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0: term += UInt64.random(in: 1...3, using: &random)
            case 1:
                let index = UInt64.random(in: model.base.index...log.last.index, using: &random)
                log.cut(after: index)
                model.terms.removeLast(model.terms.count - Int(index - model.base.index))
            case 2:
                let index = UInt64.random(in: model.base.index...log.last.index, using: &random)
                let base = LogPosition(term: model.term(at: index) ?? 0, index: index)
                log.forget(through: index)
                model.terms.removeFirst(Int(index - model.base.index))
                model.base = base
            default:
                let count = UInt64.random(in: 0...3, using: &random)
                log.append(term: term, count: count)
                model.terms += Array(repeating: term, count: Int(count))
            }
            #expect(log.base == model.base)
            #expect(log.last.index == model.base.index + UInt64(model.terms.count))
            #expect(log.last.term == model.terms.last ?? model.base.term)
            for index in 0...log.last.index + 1 { #expect(log.term(at: index) == model.term(at: index), "\(index)") }
            for index in model.base.index + 1..<log.last.index + 1 {
                let first = model.terms.firstIndex(of: model.term(at: index) ?? 0)
                #expect(log.firstOfTerm(at: index) == model.base.index + 1 + UInt64(first ?? 0))
                let runs = log.runs(from: index, through: log.last.index)
                let expanded = runs.flatMap { Array(repeating: $0.term, count: Int($0.count)) }
                #expect(expanded == Array(model.terms[Int(index - model.base.index) - 1..<model.terms.count]))
            }
            for wanted in 0...term + 1 { #expect(log.hasEntry(ofTerm: wanted) == model.terms.contains(wanted)) }
        }
    }

    /// Logs as the protocol makes them: where two have an entry in common, they have all before it in common.
    @Test(arguments: 0..<40 as Range<UInt64>)
    func logsAgreeUpToWhereTheyPart(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<50 {
            var common = TermLog()
            for term in 1...4 as ClosedRange<UInt64> {
                common.append(term: term, count: UInt64.random(in: 0...3, using: &random))
            }
            let shared = common.last.index
            var (left, right) = (common, common)
            for term in 5...8 as ClosedRange<UInt64> {
                // Each term has one leader: its entries are in one of them, or in both as one appended to the other's.
                let count = UInt64.random(in: 0...2, using: &random)
                if Bool.random(using: &random) {
                    left.append(term: term, count: count)
                } else {
                    right.append(term: term, count: count)
                }
            }
            let cut = UInt64.random(in: 0...shared, using: &random)
            if Bool.random(using: &random) { left.forget(through: cut) }
            if Bool.random(using: &random) { right.forget(through: cut) }
            #expect(left.agreement(with: right) == shared)
            #expect(right.agreement(with: left) == shared)
        }
    }

    @Test func logsThatShareNothingSayNothing() {
        var (early, late) = (TermLog(), TermLog(base: LogPosition(term: 3, index: 10)))
        early.append(term: 1, count: 5)
        late.append(term: 3, count: 2)
        #expect(early.agreement(with: late) == nil)
        early.append(term: 2, count: 7)
        #expect(early.agreement(with: late) == nil, "they differ where the second begins")
    }
}
