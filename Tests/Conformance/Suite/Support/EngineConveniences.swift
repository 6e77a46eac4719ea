package import T4Protocols

/// A row, copied out of an engine.
package struct Row: Equatable, Sendable {
    package var key: [UInt8]
    package var value: [UInt8]

    package init(key: [UInt8], value: [UInt8]) {
        self.key = key
        self.value = value
    }

    package static func == (left: Row, right: Row) -> Bool {
        isEqual(left.key, right.key) && isEqual(left.value, right.value)
    }
}

extension EngineSnapshot {
    /// Copy of a value, nil when the key is absent; also checks that `visit` is called exactly when it is there.
    func value(_ key: [UInt8]) throws -> [UInt8]? {
        var values: [[UInt8]] = []
        let isFound = try read(key.span.bytes) { values.append(copy($0)) }
        try expectEqual(values.count, isFound ? 1 : 0, "calls of visit by a read that returned \(isFound)")
        return values.first
    }

    /// Copies of the rows of a range, at most `limit`.
    package func rows(
        _ range: KeyRange = .all, _ order: ScanOrder = .ascending, limit: Int = .max
    ) throws(EngineError) -> [Row] {
        var rows: [Row] = []
        try scan(range, order: order) { key, value in
            rows.append(Row(key: copy(key), value: copy(value)))
            return rows.count < limit ? .next : .stop
        }
        return rows
    }
}

extension LocalEngine {
    /// Puts rows as one batch.
    func put(_ rows: [Row], at index: UInt64) throws(EngineError) {
        var batch = WriteBatch()
        for row in rows { batch.put(row.key, row.value) }
        try apply(batch, at: LogPosition(term: 1, index: index))
    }

    /// Deletes keys as one batch.
    func delete(_ keys: [[UInt8]], at index: UInt64) throws(EngineError) {
        var batch = WriteBatch()
        for key in keys { batch.delete(key) }
        try apply(batch, at: LogPosition(term: 1, index: index))
    }
}

/// Throws a `RuleViolation` unless `body` fails with an `EngineError` of that code.
func expectError(_ code: EngineError.Code, _ what: String, _ body: () throws -> Void) throws {
    do {
        try body()
    } catch let error as EngineError {
        try expectEqual(error.code, code, "error of \(what) (\(error))")
        try expect(!error.message.isEmpty, "\(what): an error without a message")
        return
    }
    throw RuleViolation("\(what): expected the error \(code), saw success")
}

/// Throws a `RuleViolation` that names the first difference of two lists of rows.
func expectRows(_ seen: [Row], _ expected: [Row], _ what: @autoclosure () -> String) throws(RuleViolation) {
    if seen == expected { return }
    for (index, (left, right)) in zip(seen, expected).enumerated() where left != right {
        throw RuleViolation(
            "\(what()): row \(index) is \(brief(left.key)) = \(brief(left.value)), expected \(brief(right.key)) = "
                + brief(right.value))
    }
    try expectEqual(seen.count, expected.count, "\(what()): number of rows")
}

/// Rows of an array as a source for `bulkLoad`.
package struct ArrayRows: SortedRows {
    private let rows: [Row]
    private var index = 0

    package init(_ rows: [Row]) { self.rows = rows }

    package mutating func next(visit: (RawSpan, RawSpan) -> Void) throws(EngineError) -> Bool {
        guard index < rows.count else { return false }
        let row = rows[index]
        visit(row.key.span.bytes, row.value.span.bytes)
        index += 1
        return true
    }
}
