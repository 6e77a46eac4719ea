import Testing

/// The crash test's own judgement: what became of a write without an answer, also when it was compacted right away.
struct UncertainWriteTests {
    private let known = Writer.KeyState(value: "old", revision: 5, version: 1)

    private func revision(
        of operation: Writer.Operation, known: Writer.KeyState?, changes: [Change] = [], base: [Change] = [],
        compacted: Int64 = 0,
    ) -> Int64? {
        WriteEvidence(changes: changes, base: base, compacted: compacted)
            .revision(of: operation, on: "k", after: known)
    }

    private func row(_ revision: Int64, _ value: String?) -> Change {
        Change(revision: revision, key: "k", value: value, version: value == nil ? 0 : 1)
    }

    @Test func aWriteAfterTheCompactionIsInTheChanges() {
        let put = Writer.Operation.put(key: "k", value: "new")
        #expect(revision(of: put, known: known, changes: [row(5, "old"), row(9, "new")]) == 9)
        #expect(revision(of: put, known: known, changes: [row(5, "old")]) == nil)
        #expect(revision(of: .delete(key: "k"), known: known, changes: [row(9, nil)], compacted: 4) == 9)
        // A deletion before what is known is not this one.
        #expect(revision(of: .delete(key: "k"), known: known, changes: [row(3, nil), row(5, "old")]) == nil)
    }

    @Test func aCompactedWriteIsInTheStateThere() {
        let put = Writer.Operation.put(key: "k", value: "new")
        #expect(revision(of: put, known: known, base: [row(8, "new")], compacted: 9) == 8)
        #expect(revision(of: put, known: nil, base: [row(8, "new")], compacted: 9) == 8)
        #expect(revision(of: put, known: known, base: [row(5, "old")], compacted: 9) == nil)
        #expect(revision(of: put, known: nil, compacted: 9) == nil)
    }

    @Test func aCompactedDeletionIsAKeyThatIsGoneThere() {
        let delete = Writer.Operation.delete(key: "k")
        #expect(revision(of: delete, known: known, compacted: 9) == 9)
        #expect(revision(of: delete, known: known, base: [row(5, "old")], compacted: 9) == nil)
        // The key was made after the compacted revision: that it is absent there says nothing.
        let later = Writer.KeyState(value: "old", revision: 12, version: 1)
        #expect(revision(of: delete, known: later, compacted: 9) == nil)
        // A lost key is no deletion where nothing was compacted.
        #expect(revision(of: delete, known: known) == nil)
    }
}
