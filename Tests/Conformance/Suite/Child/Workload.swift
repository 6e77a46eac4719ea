import T4Protocols

/// Batches that depend on nothing but a seed and their index, so that two processes agree on them.
struct Workload: Codable, Equatable {
    var seed: UInt64
    /// Keys that the batches draw from; every eighth is longer than 700 bytes.
    var keyCount = 400
    /// Changes of a batch, one delete in five.
    var changeCount = 40
    /// Sizes of values.
    var valueBytes = 0...400

    /// Key that every batch sets to its index.
    private static let newest = Array("newest".utf8)

    /// Where batch `index` lies; the term rises with every 40th batch.
    func position(_ index: UInt64) -> LogPosition {
        index == 0 ? .zero : LogPosition(term: 1 + index / 40, index: index)
    }

    /// The changes of batch `index`, from 1; the value is nil for a delete.
    func changes(_ index: UInt64) -> [(key: [UInt8], value: [UInt8]?)] {
        var generator = SeededGenerator(seed: seed &+ index &* 0x2545_F491_4F6C_DD1D)
        var changes: [(key: [UInt8], value: [UInt8]?)] = [(Self.newest, Array("\(index)".utf8))]
        for number in 0..<changeCount {
            let key = key(Int.random(in: 0..<keyCount, using: &generator))
            changes.append((key, number % 5 == 4 ? nil : value(using: &generator)))
        }
        return changes
    }

    /// Batch `index`.
    func batch(_ index: UInt64) -> WriteBatch {
        var batch = WriteBatch()
        for (key, value) in changes(index) {
            if let value { batch.put(key, value) } else { batch.delete(key) }
        }
        return batch
    }

    /// Applies batch `index`.
    func apply(_ index: UInt64, to engine: any LocalEngine) throws(EngineError) {
        try engine.apply(batch(index), at: position(index))
    }

    /// What an engine holds after the batches up to `index`.
    func model(at index: UInt64) -> Model {
        var rows: [[UInt8]: [UInt8]] = [:]
        var number: UInt64 = 0
        while number < index {
            number += 1
            for (key, value) in changes(number) { rows[key] = value }
        }
        return Model(rows.map { Row(key: $0.key, value: $0.value) })
    }

    /// Throws a `RuleViolation` unless the engine shows exactly the batches up to its position.
    /// - Returns: The index of that position.
    @discardableResult
    func check(_ engine: any LocalEngine) throws -> UInt64 {
        let found = try engine.appliedPosition
        try expectEqual(found, position(found.index), "applied position")
        try check(engine.snapshot(), at: found.index)
        return found.index
    }

    /// Throws a `RuleViolation` unless the snapshot shows exactly the batches up to `index`.
    func check(_ snapshot: any EngineSnapshot, at index: UInt64) throws {
        let model = model(at: index)
        try expectRows(snapshot.rows(), model.rows, "rows at index \(index)")
        try expectRows(snapshot.rows(.all, .descending), model.rows.reversed(), "rows at index \(index), descending")
    }

    private func key(_ number: Int) -> [UInt8] {
        let name = Array("key \(number)".utf8)
        return number % 8 == 0 ? [UInt8](repeating: 0x6B, count: 700) + name : name
    }

    /// Random bytes, so that no engine can make them smaller.
    private func value(using generator: inout SeededGenerator) -> [UInt8] {
        generator.bytes(Int.random(in: valueBytes, using: &generator))
    }
}
