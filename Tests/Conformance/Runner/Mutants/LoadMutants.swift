import T4Conformance
import T4Protocols

extension Mutant {
    /// Flaws of `bulkLoad`.
    static let loadMutants = [
        memory(
            "loads rows in any order", breaks: "a bulk load refuses rows out of order",
            Flaw(load: { (engine, rows, position) throws(EngineError) in
                try engine.apply(batch(rows), at: position)
            })),
        memory(
            "loads into an engine with rows", breaks: "a bulk load refuses an engine that is not empty",
            Flaw(load: { (engine, rows, position) throws(EngineError) in
                let all = try engine.snapshot().rows() + rows
                try engine.apply(batch(all), at: position)
            })),
        memory(
            "loads over an engine whose rows were deleted",
            breaks: "long keys leave nothing behind when deleted and may be put again",
            Flaw(load: { (engine, rows, position) throws(EngineError) in
                guard try engine.snapshot().rows(limit: 1).isEmpty else {
                    throw EngineError(.invalidArgument, "bulk load into an engine that is not empty")
                }
                try engine.apply(batch(rows), at: position)
            })),
        memory(
            "loses the last row of a load", breaks: "a bulk load fills an empty engine",
            Flaw(load: { (engine, rows, position) throws(EngineError) in
                var kept = ArrayRows(Array(rows.dropLast()))
                try engine.bulkLoad(&kept, at: position)
            })),
        memory(
            "forgets the position of an empty load", breaks: "a bulk load of nothing records the position",
            Flaw(load: { (engine, rows, position) throws(EngineError) in
                if rows.isEmpty { return }
                var rows = ArrayRows(rows)
                try engine.bulkLoad(&rows, at: position)
            })),
    ]

    static func batch(_ rows: some Sequence<Row>) -> WriteBatch {
        WriteBatch(rows.map { (key: $0.key, value: $0.value) })
    }
}
