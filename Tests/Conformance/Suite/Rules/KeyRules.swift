import T4Protocols

extension EngineRules {
    /// Keys of every length and content.
    static let keyRules = [
        EngineRule("odd keys are kept and ordered as unsigned bytes") { engine in
            try await engine.withEngine { engine in
                var keys = (0...255).map { [UInt8($0)] }
                keys += [[0, 0], [0xFF, 0], [0xFF, 0xFF], [0x7F, 0x80], [0x80, 0x7F], Array("rows".utf8)]
                keys += [Array("position".utf8), Array("format".utf8), Array("tails".utf8), Array("\0tails\0".utf8)]
                let model = Model(keys.map { Row(key: $0, value: $0.reversed()) })
                try engine.put(model.rows.reversed(), at: 1)
                let snapshot = try engine.snapshot()
                try expectRows(snapshot.rows(), model.rows, "all rows")
                for row in model.rows { try expectEqual(snapshot.value(row.key), row.value, "\(brief(row.key))") }
                try expectEqual(snapshot.value([]), nil, "value of the empty key")
            }
        },
        EngineRule("long keys that share a prefix are kept and ordered, with bounds among them") { engine in
            try await engine.withEngine { engine in
                let shared = [UInt8](repeating: 0x6B, count: 500)
                var keys: [[UInt8]] = [[0x6A], [0x6B], [0x6C]]
                for length in [499, 500, 509, 510, 511, 512, 513, 600, 1013, 1014, 1015, 1517] {
                    let key = [UInt8](repeating: 0x6B, count: length)
                    keys += [key, Array(key.dropLast()) + [0x00], Array(key.dropLast()) + [0xFF]]
                }
                keys += [shared + [0], shared + [0xFF], shared + [UInt8](repeating: 0xFF, count: 100)]
                let unique = Set(keys)
                let model = Model(unique.map { Row(key: $0, value: [UInt8($0.count & 0xFF), $0.last!]) })
                try engine.put(model.rows.shuffled(), at: 1)
                let snapshot = try engine.snapshot()
                for row in model.rows {
                    try expectEqual(snapshot.value(row.key), row.value, "value of \(brief(row.key))")
                    try expectEqual(
                        snapshot.value(row.key + [1]), model.value(row.key + [1]), "longer than \(brief(row.key))")
                }
                let beside = [511, 512, 1014].map { [UInt8](repeating: 0x6B, count: $0) + [0x6A] }
                try checkAllRanges(snapshot, model, bounds: [[]] + model.rows.map(\.key) + beside)
            }
        },
        EngineRule("the longest keys work, and longer bounds") { engine in
            try await engine.withEngine { engine in
                let long = [UInt8](repeating: 0x61, count: EngineLimits.keyBytes.upperBound)
                let other = long.dropLast() + [0x62]
                let model = Model([
                    Row(key: long, value: [1]), Row(key: Array(other), value: [2]), Row(key: [0x61], value: [3]),
                    Row(key: Array(long.dropLast()), value: [4]),
                ])
                try engine.put(model.rows, at: 1)
                let snapshot = try engine.snapshot()
                try checkAllRanges(snapshot, model, bounds: [[], [0x61], long, Array(other), long + [0], [0x62]])
                for row in model.rows { try expectEqual(snapshot.value(row.key), row.value, brief(row.key)) }
                try expectEqual(snapshot.value(long + [0]), nil, "value of a key beyond the limit")
                try engine.delete([long, Array(long.dropLast())], at: 2)
                try expectRows(
                    engine.snapshot().rows(), [Row(key: [0x61], value: [3]), Row(key: Array(other), value: [2])],
                    "rows after the delete")
                try expectRows(snapshot.rows(), model.rows, "snapshot from before the delete")
            }
        },
        EngineRule("long keys leave nothing behind when deleted and may be put again") { engine in
            try await engine.withEngine { engine in
                let keys = (0..<60).map { [UInt8](repeating: 0x7A, count: 400 + $0 * 30) + [UInt8($0)] }
                for round in 0..<3 {
                    let rows = Model(keys.map { Row(key: $0, value: [UInt8(round)]) }).rows
                    try engine.put(rows, at: UInt64(2 * round + 1))
                    try expectRows(engine.snapshot().rows(), rows, "rows of round \(round)")
                    try engine.delete(round == 1 ? keys.reversed() : keys, at: UInt64(2 * round + 2))
                    try expectRows(engine.snapshot().rows(), [], "rows after the deletes of round \(round)")
                    try expectRows(engine.snapshot().rows(.all, .descending), [], "the same, descending")
                }
                var rows = ArrayRows([Row(key: [1], value: [])])
                try expectError(.invalidArgument, "a bulk load into an engine that had rows") {
                    try engine.bulkLoad(&rows, at: LogPosition(term: 1, index: 7))
                }
            }
        },
    ]
}
