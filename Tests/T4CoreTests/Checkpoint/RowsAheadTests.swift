// Goal: rows that another thread reads ahead are those rows, in order, with what ended them; and the thread runs neither far
// ahead nor on for nobody. Method: made-up rows that say how many of them were read.
import Synchronization
import T4Protocols
import Testing

@testable import T4Core

@Suite struct RowsAheadTests {
    private struct Damaged: Error {}

    /// Rows with rising numbers.
    private struct Numbers: TableRows {
        let count: Int
        /// Rows of a table.
        var tableSize = Int.max
        var error: Damaged?
        let made: Made
        var tableDone: () -> Void = {}
        private var last = 0

        init(
            _ count: Int, tableSize: Int = .max, error: Damaged? = nil, _ made: Made, _ tableDone: @escaping () -> Void
        ) {
            (self.count, self.tableSize, self.error, self.made, self.tableDone) = (
                count, tableSize, error, made, tableDone
            )
        }

        mutating func next() throws -> TableRow? {
            if last == count {
                if let error { throw error }
                return nil
            }
            last += 1
            if last.isMultiple(of: tableSize) { tableDone() }
            made.count.withLock { $0 += 1 }
            made.count.broadcast()
            return RowsAheadTests.row(last)
        }
    }

    /// How many rows were made; lives as long as they do.
    private final class Made: Sendable {
        let count = Monitor(0)
    }

    private static func row(_ number: Int) -> TableRow {
        var name: [UInt8] = [Keyspace.system]
        name.append(bigEndian: Int64(number))
        return TableRow(name: name, value: [])
    }

    @Test(arguments: [0, 1, 1024, 1025, 20_000]) func givesAllRowsInOrder(_ count: Int) async throws {
        try await onThread {
            var heard: [Int] = []
            let rows = RowsAhead(tablesDone: { heard.append($0) }) { Numbers(count, tableSize: 500, Made(), $0) }
            for number in 0..<count {
                let row = try rows.next()
                try #require(row == Self.row(number + 1))
            }
            for _ in 0..<3 {
                let end = try rows.next()
                #expect(end == nil)
            }
            #expect(heard == heard.sorted() && Set(heard).count == heard.count)
            #expect(heard.last ?? 0 == count / 500)
        }
    }

    /// Also where rows are large: batches are then shorter.
    @Test func anErrorComesBehindTheRowsBeforeIt() async throws {
        try await onThread {
            let rows = RowsAhead(tablesDone: { _ in }) { Numbers(3000, error: Damaged(), Made(), $0) }
            var count = 0
            #expect(throws: Damaged.self) {
                while try rows.next() != nil { count += 1 }
            }
            // What was read of the last batch is not worth anything without its end.
            #expect(count >= 2048 && count <= 3000)
            let none = RowsAhead(tablesDone: { _ in }) { _ in throw Damaged() }
            #expect(throws: Damaged.self) { try none.next() }
        }
    }

    /// Method: before each row that is taken the thread has had the time to read as far as it does.
    @Test func staysNear() async throws {
        try await onThread {
            let made = Made()
            let rows = RowsAhead(tablesDone: { _ in }) { Numbers(.max, made, $0) }
            // Batches that wait, one that waits to be one of them, and the one that is being taken.
            let distance = 6 * 1024
            for taken in 0..<10 * 1024 {
                if taken.isMultiple(of: 1024) { made.count.wait { $0 >= taken + 5 * 1024 ? () : nil } }
                let count = made.count.withLock { $0 }
                try #require(count <= taken + distance)
                _ = try rows.next()
            }
        }
    }

    /// Goal: the thread ends with whom it reads for, wherever it stands.
    @Test func endsWithItsReader() async throws {
        try await onThread {
            for wanted in [0, 1, 3000] {
                weak var made: Made?
                do {
                    let owned = Made()
                    made = owned
                    var rows: RowsAhead? = RowsAhead(tablesDone: { _ in }) { [weak owned] in
                        Numbers(.max, owned!, $0)
                    }
                    for _ in 0..<wanted { _ = try rows?.next() }
                    owned.count.wait { $0 >= 1 ? () : nil }
                    rows = nil
                }
                #expect(made == nil)
            }
        }
    }
}
