import T4Core
import Testing

@testable import T4Server

/// The order of writing, however little memory there is for it.
struct ChangeSorterTests {
    @Test(arguments: [1, 400, 70_000, 16 << 20])
    func sorts(_ memoryBytes: Int) throws {
        var random = SeededGenerator(seed: UInt64(memoryBytes))
        // The lengths of keys make chunks of the runs end within rows.
        let sizes = memoryBytes == 1 ? [0, 3, 32768] : [0, 3, 40, 900, 32768]
        let rows = (0..<(memoryBytes == 1 ? 60 : 2000)).map { number in
            let size = number % 50 == 0 ? sizes.randomElement(using: &random)! : number % 40
            let place = ChangeSorter.Place(revision: Revision(Int64(number / 3)), sub: UInt32(number % 3))
            return (place, [UInt8](repeating: UInt8(number % 251), count: size))
        }
        try withTemporaryFolder { folder in
            var sorter = ChangeSorter(directory: folder, memoryBytes: memoryBytes)
            for (place, key) in rows.shuffled(using: &random) { try sorter.add(key, at: place) }
            var found: [(ChangeSorter.Place, [UInt8])] = []
            try sorter.forEach { found.append(($0, $1)) }
            #expect(found.map(\.0) == rows.map(\.0))
            #expect(found.map(\.1) == rows.map(\.1))
        }
    }

    @Test func nothing() throws {
        try withTemporaryFolder { folder in
            try ChangeSorter(directory: folder).forEach { _, _ in Issue.record("a row of nothing") }
        }
    }
}
