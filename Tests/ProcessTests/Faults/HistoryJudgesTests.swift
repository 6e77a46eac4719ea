import T4Conformance
import Testing

/// Goal: the judges of what clients saw are right. Method: histories that are possible, and the same with one thing changed.
@Suite struct HistoryJudgesTests {
    private func entry(_ version: Int64, _ isWrite: Bool, _ begin: Int, _ end: Int?) -> VersionHistory.Entry {
        .init(version: version, isWrite: isWrite, begin: .seconds(begin), end: end.map { .seconds($0) })
    }

    @Test func versions() {
        let write = entry(2, true, 0, 10)
        #expect(VersionHistory(entries: [write, entry(2, false, 11, 12), entry(3, true, 11, 15)]).faults == [])
        // Beside each other everything goes, and what has no end is before nothing.
        #expect(VersionHistory(entries: [write, entry(1, false, 10, 12), entry(1, true, 3, 4)]).faults == [])
        #expect(VersionHistory(entries: [entry(9, true, 0, nil), entry(1, false, 5, 6)]).faults == [])
        // Old, although another operation that saw more ended before the write.
        #expect(VersionHistory(entries: [write, entry(1, false, 11, 12)]).faults.count == 1)
        #expect(VersionHistory(entries: [entry(7, false, 0, 1), write, entry(2, false, 11, 12)]).faults.count == 1)
        // A write of what was there, one that is older than what was seen, and two of the same.
        #expect(VersionHistory(entries: [write, entry(2, true, 11, 12)]).faults.count == 2)
        #expect(VersionHistory(entries: [entry(5, false, 0, 1), entry(5, true, 2, nil)]).faults.count == 1)
        #expect(VersionHistory(entries: [write, entry(2, true, 0, 12)]).faults.count == 1)
    }

    /// A counter at which clients overlap; then one read is moved to where it is old.
    @Test func randomVersions() {
        for seed in 0..<100 as Range<UInt64> {
            var random = SeededGenerator(seed: seed)
            var history = VersionHistory()
            var version: Int64 = 0
            for now in stride(from: 0, to: 500, by: 5) {
                let isWrite = Bool.random(using: &random)
                if isWrite { version += 1 }
                let begin = now - Int.random(in: 0..<12, using: &random)
                let end = now + Int.random(in: 0..<12, using: &random)
                history.entries.append(entry(version, isWrite, begin, end))
            }
            #expect(history.faults == [], "seed \(seed)")
            history.entries.append(entry(version - 1, false, 600, 601))
            #expect(history.faults.count == 1, "seed \(seed)")
        }
    }

    @Test func lists() {
        func append(
            _ element: String, _ outcome: ListHistory.Outcome, _ begin: Int, _ end: Int
        ) -> ListHistory.Append {
            .init(element: element, outcome: outcome, begin: .seconds(begin), end: .seconds(end))
        }
        func read(_ elements: [String], _ begin: Int, _ end: Int) -> ListHistory.Read {
            .init(elements: elements, begin: .seconds(begin), end: .seconds(end))
        }
        var history = ListHistory()
        history.appends = [
            append("a", .done, 0, 2), append("b", .unknown, 3, 4), append("c", .refused, 3, 5),
            append("d", .done, 6, 9),
        ]
        history.reads = [read([], 0, 1), read(["a"], 3, 4), read(["a", "b"], 7, 8), read(["a", "b", "d"], 10, 11)]
        #expect(history.faults(finally: ["a", "b", "d"]) == [])
        // Lost at the end, turned around, twice, refused and yet there, nobody's.
        #expect(history.faults(finally: ["a", "b"]) != [])
        #expect(history.faults(finally: ["b", "a", "d"]) != [])
        #expect(history.faults(finally: ["a", "b", "d", "a"]) != [])
        #expect(history.faults(finally: ["a", "b", "d", "c"]) != [])
        #expect(history.faults(finally: ["a", "b", "d", "e"]) != [])
        // Without the unknown one, nobody may have seen it.
        #expect(history.faults(finally: ["a", "d"]) != [])
        var without = history
        without.reads = [read(["a"], 7, 8)]
        #expect(without.faults(finally: ["a", "d"]) == [])
        // Old; from the future; and another order than that of time.
        var old = history
        old.reads.append(read(["a", "b"], 10, 11))
        #expect(old.faults(finally: ["a", "b", "d"]) != [])
        var early = history
        early.reads.append(read(["a", "b", "d"], 4, 5))
        #expect(early.faults(finally: ["a", "b", "d"]) != [])
        var late = history
        late.appends[3] = append("d", .done, 0, 1)
        #expect(late.faults(finally: ["a", "b", "d"]) != [])
    }

    @Test func banks() {
        func bank(_ reads: ([Int], Int64)...) -> BankHistory {
            BankHistory(total: 20, accounts: 2, reads: reads.map { .init(balances: $0.0, revision: $0.1) })
        }
        #expect(bank(([10, 10], 2), ([0, 20], 3), ([10, 10], 2)).faults == [])
        // Half a transfer, an account overdrawn, one that is missing, and two states of one revision.
        #expect(bank(([10, 10], 2), ([5, 10], 3)).faults.count == 1)
        #expect(bank(([-1, 21], 2)).faults.count == 1)
        #expect(bank(([20], 2)).faults.count == 1)
        #expect(bank(([10, 10], 2), ([0, 20], 2)).faults.count == 1)
    }

    @Test func locks() {
        func hold(_ holder: String, _ token: Int64, _ from: Int, _ until: Int) -> LockHistory.Hold {
            .init(holder: holder, token: token, from: .seconds(from), until: .seconds(until))
        }
        let two = [hold("a", 2, 0, 5), hold("b", 3, 5, 7)]
        #expect(
            LockHistory(holds: two, writes: [.init(revision: 4, token: 2), .init(revision: 9, token: 3)]).faults == [])
        // Two at once, also where the first one holds for longer than one between.
        #expect(LockHistory(holds: [hold("a", 2, 0, 5), hold("b", 3, 4, 7)]).faults.count == 1)
        #expect(LockHistory(holds: [hold("a", 2, 0, 9), hold("b", 3, 1, 2), hold("c", 4, 8, 10)]).faults.count == 2)
        // One that had lost it by the time it heard that it had it.
        #expect(LockHistory(holds: [hold("b", 3, 4, 7), hold("a", 2, 5, 5)]).faults == [])
        #expect(LockHistory(holds: [hold("a", 3, 0, 5), hold("b", 2, 5, 7)]).faults.count == 1)
        // A write of one that has lost it.
        #expect(
            LockHistory(holds: two, writes: [.init(revision: 9, token: 3), .init(revision: 10, token: 2)]).faults.count
                == 1)
        #expect(LockHistory(endings: [.init(lease: "1", seen: .seconds(5), earliest: .seconds(5))]).faults == [])
        #expect(LockHistory(endings: [.init(lease: "1", seen: .seconds(4), earliest: .seconds(5))]).faults.count == 1)
    }

    @Test func events() {
        func change(_ revision: Int64, _ key: String, _ value: String?, _ version: Int64 = 1) -> Change {
            Change(revision: revision, key: key, value: value, version: version)
        }
        let seen = [
            change(5, "a", "1"), change(6, "a", "2", 2), change(6, "b", "x"), change(7, "b", nil, 0),
            change(8, "c", "y"),
        ]
        let state = DatabaseState(
            revision: 8, rows: [change(6, "a", "2", 2), change(8, "c", "y"), change(3, "old", "o")])
        let before = [change(3, "old", "o"), change(4, "b", "w")]
        var history = EventHistory(start: 4)
        history.watchers = [seen, seen + [change(9, "late", "l")]]
        history.acknowledged = [.init(key: "a", value: "2", revision: 6), .init(key: "b", value: nil, revision: 7)]
        history.refused = ["3"]
        #expect(history.faults(finally: state, before: before) == [])

        func faults(_ change: (inout EventHistory) -> Void) -> [String] {
            var broken = history
            change(&broken)
            return broken.faults(finally: state, before: before)
        }
        // Lost, at another revision, refused and yet written.
        #expect(faults { $0.acknowledged.append(.init(key: "a", value: "7", revision: 8)) } != [])
        #expect(faults { $0.acknowledged.append(.init(key: "a", value: "2", revision: 8)) } != [])
        #expect(faults { $0.refused.append("y") } != [])
        // A gap at the beginning, within, at the end, and within one revision, for one watcher.
        for place in seen.indices { #expect(faults { $0.watchers[1].remove(at: place) } != []) }
        // Twice, or in another order.
        for place in seen.indices { #expect(faults { $0.watchers[0].insert(seen[place], at: place) } != []) }
        #expect(faults { $0.watchers[0].swapAt(0, 1) } != [])
        #expect(faults { $0.watchers[0].swapAt(3, 4) } != [])
        // Something else for one of them.
        #expect(faults { $0.watchers[0][0].value = "other" } != [])
        // One write that was done twice.
        #expect(faults { history in for place in 0..<2 { history.watchers[place][1].value = "1" } } != [])
        // A state that is not what the events make.
        var other = state
        other.rows[0].value = "1"
        #expect(history.faults(finally: other, before: before) != [])
        #expect(history.faults(finally: state) != [])
    }
}
