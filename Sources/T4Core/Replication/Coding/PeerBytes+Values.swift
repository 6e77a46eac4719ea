// Values that are more than a number or a text; docs/formats.md, "Between nodes", describes every byte.

extension PeerWriter {
    /// Adds bytes behind their number (4).
    mutating func put(counted bytes: [UInt8]) {
        put(UInt32(bytes.count))
        put(raw: bytes)
    }

    mutating func put(_ flag: Bool) { put(UInt8(flag ? 1 : 0)) }

    /// Adds the number of values (4) and each of them.
    mutating func put<Value>(all values: [Value], _ body: (inout PeerWriter, Value) -> Void) {
        put(UInt32(values.count))
        for value in values { body(&self, value) }
    }

    /// Adds whether there is a value, and the value.
    mutating func put<Value>(optional value: Value?, _ body: (inout PeerWriter, Value) -> Void) {
        put(value != nil)
        if let value { body(&self, value) }
    }
}

extension PeerReader {
    /// A piece with nothing behind it.
    package static func whole(_ bytes: [UInt8], seed: PeerSeed) throws(PeerCodingError) -> PeerReader {
        let reader = try PeerReader(bytes, seed: seed)
        guard reader.rest.isEmpty else { throw .tooLong(reader.rest.count) }
        return reader
    }

    /// Takes bytes that stand behind their number.
    mutating func counted() throws(PeerCodingError) -> [UInt8] { try raw(Int(number(UInt32.self))) }

    /// Takes so many values as a number in front of them says.
    mutating func all<Value>(
        _ body: (inout PeerReader) throws(PeerCodingError) -> Value
    ) throws(PeerCodingError) -> [Value] {
        let count: UInt32 = try number()
        var values: [Value] = []
        for _ in 0..<count { values.append(try body(&self)) }
        return values
    }

    /// Takes a value that may be missing.
    mutating func optional<Value>(
        _ field: String, _ body: (inout PeerReader) throws(PeerCodingError) -> Value
    ) throws(PeerCodingError) -> Value? {
        try flag(field) ? try body(&self) : nil
    }

    /// Takes a value that has a number.
    mutating func choice<Choice: RawRepresentable>(_ field: String) throws(PeerCodingError) -> Choice
    where Choice.RawValue: FixedWidthInteger & BitwiseCopyable {
        let value: Choice.RawValue = try number()
        guard let choice = Choice(rawValue: value) else {
            throw .unknown(field: field, UInt64(truncatingIfNeeded: value))
        }
        return choice
    }
}
