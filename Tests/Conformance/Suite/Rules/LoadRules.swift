import T4Protocols

extension EngineRules {
    /// What `bulkLoad` does.
    static let loadRules = [
        EngineRule("a bulk load fills an empty engine") { engine in
            try await engine.withStorage { storage in
                let long = [UInt8](repeating: 0x6B, count: 600)
                var rows = (0..<25_000).map { Row(key: Array("key \(1_000_000 + $0)".utf8), value: [UInt8($0 & 0xFF)]) }
                rows += (0..<500).map { Row(key: long + [UInt8($0 >> 8), UInt8($0 & 0xFF)], value: [1]) }
                rows += (0..<20).map { Row(key: [0x00, UInt8($0)], value: [UInt8](repeating: 9, count: 300_000)) }
                rows = Model(rows).rows
                let position = LogPosition(term: 3, index: 99)
                let engine = try storage.open()
                var source = ArrayRows(rows)
                try engine.bulkLoad(&source, at: position)
                try expectRows(engine.snapshot().rows(), rows, "rows after the load")
                try expectRows(engine.snapshot().rows(.all, .descending), rows.reversed(), "the same, descending")
                try expectEqual(engine.appliedPosition, position, "applied position")
                if !engine.capabilities.isVolatile {
                    try expectEqual(engine.durablePosition, position, "durable position")
                }
                try engine.apply(WriteBatch(), at: LogPosition(term: 3, index: 100))
                try engine.close()
                guard !storage.engine.capabilities.isVolatile else { return }
                let again = try storage.open()
                try expectRows(again.snapshot().rows(), rows, "rows after opening again")
                try expectEqual(again.appliedPosition.index, 100, "applied index after opening again")
                try again.close()
            }
        },
        EngineRule("a bulk load of nothing records the position") { engine in
            try await engine.withEngine { engine in
                var source = ArrayRows([])
                try engine.bulkLoad(&source, at: LogPosition(term: 1, index: 4))
                try expectEqual(engine.appliedPosition.index, 4, "applied index")
                try expectRows(engine.snapshot().rows(), [], "rows")
            }
        },
        EngineRule("a bulk load refuses rows out of order") { engine in
            let long = [UInt8](repeating: 0x6B, count: 600)
            let bad: [[[UInt8]]] = [
                [[2], [1]], [[1], [1]], [[1, 0], [1]], [long + [2], long + [1]], [long, long], [[]],
            ]
            for keys in bad {
                try await engine.withEngine { engine in
                    var source = ArrayRows(keys.map { Row(key: $0, value: []) })
                    try expectError(.invalidArgument, "a load of the keys \(keys.map(brief))") {
                        try engine.bulkLoad(&source, at: LogPosition(term: 1, index: 1))
                    }
                    try expectEqual(engine.appliedPosition, .zero, "applied position after the refusal")
                }
            }
        },
        EngineRule("a bulk load refuses an engine that is not empty") { engine in
            try await engine.withEngine { engine in
                try engine.put([Row(key: [5], value: [5])], at: 1)
                var source = ArrayRows([Row(key: [6], value: [6])])
                try expectError(.invalidArgument, "a load into an engine with a row") {
                    try engine.bulkLoad(&source, at: LogPosition(term: 1, index: 2))
                }
                try expectRows(engine.snapshot().rows(), [Row(key: [5], value: [5])], "rows after the refusal")
                try expectEqual(engine.appliedPosition.index, 1, "applied index after the refusal")
            }
        },
    ]
}
