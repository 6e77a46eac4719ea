import T4Conformance
import Testing

/// Goal: the judge of histories is right. Method: histories that are known to be possible, or not, and random ones of a register
/// that is right, and of one that now and then is not.
@Suite struct RegisterHistoryTests {
    private func history(_ entries: (RegisterHistory.Operation, Int, Int?)...) -> RegisterHistory {
        RegisterHistory(
            entries: entries.map { .init(operation: $0.0, begin: .seconds($0.1), end: $0.2.map { .seconds($0) }) })
    }

    @Test func possible() {
        #expect(history().isLinearizable)
        #expect(history((.read(nil), 0, 1), (.write("a"), 2, 3), (.read("a"), 4, 5)).isLinearizable)
        // A read beside a write sees either.
        #expect(history((.write("a"), 0, 10), (.read(nil), 1, 2), (.read("a"), 3, 4)).isLinearizable)
        // Two writes at a time, in the order that reads show.
        #expect(
            history((.write("a"), 0, 9), (.write("b"), 0, 9), (.read("b"), 1, 2), (.read("a"), 3, 4)).isLinearizable)
        // A write that nobody knows of shows late, or never.
        #expect(history((.write("a"), 0, nil), (.read(nil), 5, 6), (.read("a"), 7, 8)).isLinearizable)
        #expect(history((.write("a"), 0, nil), (.read(nil), 5, 6)).isLinearizable)
        #expect(
            history(
                (.write("a"), 0, 1), (.swap(old: "a", new: "b", isDone: true), 2, 9),
                (.swap(old: "a", new: "c", isDone: false), 3, 8), (.read("b"), 9, 10)
            ).isLinearizable)
        #expect(history((.swap(old: nil, new: "b", isDone: nil), 0, nil), (.read("b"), 1, 2)).isLinearizable)
    }

    @Test func impossible() {
        // Old.
        #expect(!history((.write("a"), 0, 1), (.write("b"), 2, 3), (.read("a"), 4, 5)).isLinearizable)
        // Lost.
        #expect(!history((.write("a"), 0, 1), (.read(nil), 2, 3)).isLinearizable)
        // Forth and back.
        #expect(!history((.write("a"), 0, 9), (.read("a"), 1, 2), (.read(nil), 3, 4)).isLinearizable)
        // Two of which one had to fail.
        #expect(
            !history(
                (.swap(old: nil, new: "a", isDone: true), 0, 9), (.swap(old: nil, new: "b", isDone: true), 0, 9)
            ).isLinearizable)
        // Done before it was asked for.
        #expect(!history((.read("a"), 0, 1), (.write("a"), 2, 3)).isLinearizable)
        // Once, not twice.
        #expect(
            !history(
                (.write("a"), 0, nil), (.read("a"), 1, 2), (.write("b"), 3, 4), (.read("b"), 5, 6), (.read("a"), 7, 8)
            ).isLinearizable)
    }

    /// A register at which clients overlap: each operation takes effect somewhere between begin and end.
    @Test func random() {
        var wrong = 0
        for seed in 0..<200 as Range<UInt64> {
            var random = SeededGenerator(seed: seed)
            var history = RegisterHistory()
            var value: String?
            var now = 0
            for number in 0..<60 {
                now += Int.random(in: 1...10, using: &random)
                let begin = now - Int.random(in: 0..<15, using: &random)
                var end: Int? = now + Int.random(in: 0..<15, using: &random)
                let operation: RegisterHistory.Operation
                switch Int.random(in: 0..<4, using: &random) {
                case 0:
                    operation = .write("\(number)")
                    value = "\(number)"
                    if Int.random(in: 0..<8, using: &random) == 0 { end = nil }
                case 1:
                    let old = Bool.random(using: &random) ? value : "other"
                    operation = .swap(old: old, new: "\(number)", isDone: old == value)
                    if old == value { value = "\(number)" }
                default: operation = .read(value)
                }
                history.entries.append(
                    .init(operation: operation, begin: .seconds(begin), end: end.map { .seconds($0) }))
            }
            #expect(history.isLinearizable, "seed \(seed)")
            // A read of what was never there, and one of what was there before.
            var broken = history
            broken.entries.append(.init(operation: .read("never"), begin: .seconds(now / 2), end: .seconds(now)))
            #expect(!broken.isLinearizable, "seed \(seed)")
            broken = history
            broken.entries.append(.init(operation: .read(nil), begin: .seconds(now + 100), end: .seconds(now + 101)))
            if !broken.isLinearizable { wrong += 1 }
        }
        #expect(wrong == 200)
    }
}
