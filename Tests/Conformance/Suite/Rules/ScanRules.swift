import T4Protocols

extension EngineRules {
    /// What scans visit.
    static let scanRules = [
        EngineRule("scans keep to their bounds, both ways") { engine in
            try await engine.withEngine { engine in
                let keys: [[UInt8]] = [[0], [0, 0], [0, 1], [1], [1, 0xFF], [2], [2, 0], [0xFF], [0xFF, 0xFF]]
                let model = Model(keys.map { Row(key: $0, value: $0) })
                try engine.put(model.rows.shuffled(), at: 1)
                try checkAllRanges(engine.snapshot(), model, bounds: keys + [[], [0, 0, 0], [1, 0], [3], [0xFE]])
            }
        },
        EngineRule("a scan stops in the middle when asked") { engine in
            try await engine.withEngine { engine in
                let long = [UInt8](repeating: 1, count: 1100)
                let model = Model(
                    (0..<50).map { Row(key: [UInt8($0)], value: []) }
                        + (0..<50).map { Row(key: long + [UInt8($0)], value: []) })
                try engine.put(model.rows, at: 1)
                let snapshot = try engine.snapshot()
                for limit in [1, 2, 3, 49, 51, 52, 75, 100, 101] {
                    for order in [ScanOrder.ascending, .descending] {
                        try expectRows(
                            snapshot.rows(.all, order, limit: limit), model.rows(.all, order, limit: limit),
                            "\(order) scan of \(limit) rows")
                    }
                }
            }
        },
        EngineRule("many rows scan in order, both ways") { engine in
            try await engine.withEngine { engine in
                var generator = SeededGenerator(seed: 11)
                var model = Model()
                for index in 1...20 {
                    let rows = (0..<250).map { _ in
                        let key = "/registry/pods/\(UInt32.random(in: 0..<1_000_000, using: &generator))"
                        return Row(key: Array(key.utf8), value: [UInt8(index)])
                    }
                    for row in rows { model.put(row.key, row.value) }
                    try engine.put(rows, at: UInt64(index))
                }
                let snapshot = try engine.snapshot()
                try expectRows(snapshot.rows(), model.rows, "ascending")
                try expectRows(snapshot.rows(.all, .descending), model.rows.reversed(), "descending")
                // Deleting most rows takes tree engines through their merges.
                let deleted = model.rows.enumerated().filter { $0.offset % 7 != 0 }.map(\.element.key)
                for (number, start) in stride(from: 0, to: deleted.count, by: 500).enumerated() {
                    try engine.delete(Array(deleted[start..<min(start + 500, deleted.count)]), at: UInt64(21 + number))
                }
                for key in deleted { model.delete(key) }
                try expectRows(engine.snapshot().rows(), model.rows, "ascending after deletes")
                try expectRows(engine.snapshot().rows(.all, .descending), model.rows.reversed(), "descending, the same")
            }
        },
    ]

    /// Compares the scans between any two bounds, both ways, with the model.
    static func checkAllRanges(_ snapshot: any EngineSnapshot, _ model: Model, bounds: [[UInt8]]) throws {
        for lower in bounds {
            for upper in bounds.map(Optional.some) + [nil] {
                let range = KeyRange(lower: lower, upper: upper)
                for order in [ScanOrder.ascending, .descending] {
                    try expectRows(
                        snapshot.rows(range, order), model.rows(range, order),
                        "\(order) scan from \(brief(lower)) to \(upper.map(brief) ?? "the end")")
                }
            }
        }
    }
}
