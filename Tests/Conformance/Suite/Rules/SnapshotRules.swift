import T4Protocols

extension EngineRules {
    /// What a frozen view shows.
    static let snapshotRules = [
        EngineRule("a snapshot does not change") { engine in
            try await engine.withEngine { engine in
                var frozen: [(any EngineSnapshot, [Row])] = []
                var model = Model()
                for round in 0..<20 {
                    for number in 0..<30 where (number + round) % 3 == 0 {
                        model.put([UInt8(number)], [UInt8](repeating: UInt8(round), count: 200))
                    }
                    model.delete([UInt8(round)])
                    var batch = WriteBatch()
                    for row in model.rows { batch.put(row.key, row.value) }
                    batch.delete([UInt8(round)])
                    try engine.apply(batch, at: LogPosition(term: 1, index: UInt64(round + 1)))
                    frozen.append((try engine.snapshot(), model.rows))
                }
                for (round, (snapshot, rows)) in frozen.enumerated() {
                    try expectRows(snapshot.rows(), rows, "snapshot after batch \(round + 1)")
                    try expectEqual(snapshot.value([UInt8(round)]), nil, "key that batch \(round + 1) deleted")
                }
            }
        },
        EngineRule("snapshots taken during batches are whole and match the position") { engine in
            try await engine.withEngine { engine in
                let batches: UInt64 = 400
                let keys = (0..<20).map { [UInt8($0)] }
                let isDone = Latch()
                let writer: @Sendable () throws -> Void = {
                    defer { isDone.set() }
                    for index in 1...batches {
                        try engine.put(keys.map { Row(key: $0, value: bytes(index)) }, at: index)
                    }
                }
                let reader: @Sendable () throws -> Void = {
                    repeat { try checkWholeBatch(engine, keys: keys) } while !isDone.isSet
                }
                try runThreads([reader, reader, writer])
                try expectEqual(engine.appliedPosition.index, batches, "applied index at the end")
                try expectEqual(engine.snapshot().value(keys[0]), bytes(batches), "value at the end")
            }
        },
        EngineRule("a read within a scan sees the same snapshot, as does a scan within a scan") { engine in
            try await engine.withEngine { engine in
                let long = [UInt8](repeating: 5, count: 700)
                let rows = [[1], [2], [3], long + [1], long + [2], [6]].map { Row(key: $0, value: $0 + [0]) }
                try engine.put(rows, at: 1)
                let snapshot = try engine.snapshot()
                try engine.delete(rows.map(\.key), at: 2)
                var failure: (any Error)?
                var visited = 0
                try snapshot.scan(.all, order: .ascending) { key, value in
                    let row = Row(key: copy(key), value: copy(value))
                    do {
                        try expect(row == rows[visited], "row \(visited) of the outer scan is \(brief(row.key))")
                        try expectEqual(snapshot.value(row.key), row.value, "value read within the scan")
                        try expectRows(snapshot.rows(.all, .descending), rows.reversed(), "scan within the scan")
                        try expect(copy(value) == row.value, "the lent value changed during a nested scan")
                    } catch {
                        failure = error
                        return .stop
                    }
                    visited += 1
                    return .next
                }
                if let failure { throw failure }
                try expectEqual(visited, rows.count, "rows of the outer scan")
            }
        },
        EngineRule("the size is reported, bounded with a held snapshot, and stops growing once it is released") {
            engine in
            try await engine.withEngine { engine in
                let count = 100
                var index: UInt64 = 0
                var generator = SeededGenerator(seed: 13)
                func overwrite(rounds: Int) throws {
                    for _ in 0..<rounds {
                        index += 1
                        // Random bytes: an engine may compress.
                        let rows = (0..<count).map { Row(key: [UInt8($0)], value: generator.bytes(1000)) }
                        try engine.put(rows, at: index)
                    }
                    // Before it, rows may be in memory only.
                    try engine.sync()
                }
                try overwrite(rounds: 1)
                var held: (any EngineSnapshot)? = try engine.snapshot()
                let heldRows = try engine.snapshot().rows()
                try overwrite(rounds: 50)
                let heldSize = try engine.sizeOnDisk()
                try expect(heldSize >= count * 1000, "size on disk is below that of the rows")
                // Everything written since may be kept, with pages around it and buffers that are taken in advance.
                try expect(
                    heldSize <= 4 * 50 * count * 1000 + (96 << 20),
                    "size on disk is \(heldSize) bytes after \(50 * count * 1000) were written beside a snapshot")
                try expectRows(held?.rows() ?? [], heldRows, "rows in the snapshot that is held")
                held = nil
                try overwrite(rounds: 50)
                let size = try engine.sizeOnDisk()
                try overwrite(rounds: 200)
                let later = try engine.sizeOnDisk()
                // An engine may write anew what it holds only once that has doubled, or grown by some MiB; what was
                // written meanwhile is far more.
                try expect(later <= size + size / 2 + (4 << 20), "size grew from \(size) to \(later) bytes")
            }
        },
        EngineRule("space of deleted rows is no longer in use once it is reclaimed, and no row is lost") { engine in
            try await engine.withStorage { storage in
                let engine = try storage.open()
                var generator = SeededGenerator(seed: 7)
                let size = 50_000
                let rows = (0..<200).map { Row(key: [UInt8($0)], value: generator.bytes(size)) }
                for (index, row) in rows.enumerated() { try engine.put([row], at: UInt64(index + 1)) }
                try engine.sync()
                let full = try engine.sizeInUse()
                try expect(
                    full >= rows.count * size, "\(full) bytes are in use after \(rows.count * size) were written")
                var batch = WriteBatch()
                for row in rows.dropLast(20) { batch.delete(row.key) }
                try engine.apply(batch, at: LogPosition(term: 1, index: 300))
                try engine.sync()
                try engine.reclaimSpace()
                let left = try engine.sizeInUse()
                try expect(
                    left <= full - 120 * size, "\(left) of \(full) bytes are in use after nine of ten rows were deleted"
                )
                try expectRows(engine.snapshot().rows(), rows.suffix(20), "rows after space was reclaimed")
                try expectEqual(engine.appliedPosition.index, 300, "applied index after space was reclaimed")
            }
        },
    ]

    /// Reads all keys twice: they must all show one batch, which is not older or newer than the positions around it.
    private static func checkWholeBatch(_ engine: any LocalEngine, keys: [[UInt8]]) throws {
        let before = try engine.appliedPosition
        let snapshot = try engine.snapshot()
        let after = try engine.appliedPosition
        let rows = try snapshot.rows()
        guard let first = rows.first else {
            try expectEqual(before, .zero, "position of an engine that shows no rows")
            return
        }
        try expectRows(rows, keys.map { Row(key: $0, value: first.value) }, "rows of one batch")
        try expectRows(snapshot.rows(), rows, "rows on the second scan")
        let index = first.value.reduce(0) { $0 << 8 | UInt64($1) }
        try expect(
            before.index <= index && index <= after.index,
            "a snapshot shows batch \(index), taken between the positions \(before) and \(after)")
    }

    /// A number as 8 bytes, the highest first.
    private static func bytes(_ number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }
}
