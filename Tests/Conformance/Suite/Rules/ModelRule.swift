import T4Protocols

extension EngineRules {
    /// Random operations on the engine and on a sorted array at once; the seed decides everything.
    public static func model(seed: UInt64) -> EngineRule {
        EngineRule("random operations match a sorted array (seed \(seed))") { engine in
            try await engine.withStorage { storage in
                var run = try ModelRun(storage, seed: seed)
                for step in 1...300 {
                    do {
                        try run.step(UInt64(step))
                    } catch {
                        throw RuleViolation("seed \(seed), step \(step): \(error)")
                    }
                }
                try run.close()
            }
        }
    }
}

/// One run of random operations.
private struct ModelRun {
    private let storage: EngineStorage
    private var generator: SeededGenerator
    private var engine: any LocalEngine
    private var model = Model()
    private var held: [(snapshot: any EngineSnapshot, model: Model, step: UInt64)] = []

    init(_ storage: EngineStorage, seed: UInt64) throws {
        self.storage = storage
        generator = SeededGenerator(seed: seed)
        engine = try storage.open()
    }

    mutating func step(_ step: UInt64) throws {
        try applyBatch(step)
        try expectEqual(engine.appliedPosition, LogPosition(term: 1, index: step), "applied position")
        try checkNewest(step)
        switch Int.random(in: 0..<20, using: &generator) {
        case 0..<3 where !held.isEmpty: try releaseOne()
        case 3 where !storage.engine.capabilities.isVolatile: try reopen(step)
        default: break
        }
    }

    private mutating func checkNewest(_ step: UInt64) throws {
        let snapshot = try engine.snapshot()
        for _ in 0..<5 { try checkOnce(snapshot, model) }
        if held.count < 8, Int.random(in: 0..<6, using: &generator) == 0 { held.append((snapshot, model, step)) }
    }

    mutating func close() throws {
        while !held.isEmpty { try releaseOne() }
        try expectRows(engine.snapshot().rows(), model.rows, "all rows at the end")
        try expectRows(engine.snapshot().rows(.all, .descending), model.rows.reversed(), "the same, descending")
        try engine.close()
    }

    private mutating func applyBatch(_ step: UInt64) throws {
        var batch = WriteBatch()
        for _ in 0..<Int.random(in: 0...20, using: &generator) {
            let key = randomKey()
            if Int.random(in: 0..<5, using: &generator) < 3 {
                let value = [UInt8](repeating: UInt8(step & 0xFF), count: randomValueSize())
                batch.put(key, value)
                model.put(key, value)
            } else {
                // Mostly keys that are there: random ones seldom are.
                let victim = Bool.random(using: &generator) ? model.rows.randomElement(using: &generator)?.key : nil
                batch.delete(victim ?? key)
                model.delete(victim ?? key)
            }
        }
        try engine.apply(batch, at: LogPosition(term: 1, index: step))
    }

    private mutating func checkOnce(_ snapshot: any EngineSnapshot, _ model: Model) throws {
        let key = randomKey()
        try expect(isEqual(snapshot.value(key), model.value(key)), "value of \(brief(key))")
        if let row = model.rows.randomElement(using: &generator) {
            try expect(isEqual(snapshot.value(row.key), row.value), "value of \(brief(row.key))")
        }
        let upper = Int.random(in: 0..<4, using: &generator) == 0 ? nil : randomKey()
        let range = KeyRange(lower: Bool.random(using: &generator) ? randomKey() : [], upper: upper)
        let order = Bool.random(using: &generator) ? ScanOrder.ascending : .descending
        let limit = Int.random(in: 1...40, using: &generator)
        try expectRows(
            snapshot.rows(range, order, limit: limit), model.rows(range, order, limit: limit),
            "\(order) scan of \(limit) rows from \(brief(range.lower)) to \(upper.map(brief) ?? "the end")")
    }

    private mutating func releaseOne() throws {
        let index = Int.random(in: 0..<held.count, using: &generator)
        let (snapshot, model, step) = held.remove(at: index)
        try expectRows(snapshot.rows(), model.rows, "rows of the snapshot taken after step \(step)")
    }

    private mutating func reopen(_ step: UInt64) throws {
        while !held.isEmpty { try releaseOne() }
        try engine.close()
        engine = try storage.open()
        try expectEqual(engine.appliedPosition, LogPosition(term: 1, index: step), "applied position after reopening")
        try expectRows(engine.snapshot().rows(), model.rows, "rows after reopening")
    }

    /// Few enough keys that operations meet: short ones, and long ones that part around the lengths where an engine may
    /// cut them.
    private mutating func randomKey() -> [UInt8] {
        var key: [UInt8] = []
        if Int.random(in: 0..<3, using: &generator) == 0 {
            let lengths = [499, 500, 508, 509, 510, 511, 512, 1012, 1013, 1014, 1516, 1517]
            key = [UInt8](repeating: 0x6B, count: lengths.randomElement(using: &generator)!)
        }
        let letters: [UInt8] = [0x00, 0x01, 0x6B, 0xFF]
        for _ in 0..<Int.random(in: 1...4, using: &generator) { key.append(letters.randomElement(using: &generator)!) }
        return key
    }

    private mutating func randomValueSize() -> Int {
        [0, 1, 10, 100, 1000, 5000, 20_000].randomElement(using: &generator)!
    }
}
