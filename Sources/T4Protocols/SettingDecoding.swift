/// What settings of backends have in common when they are decoded: each error names the key and what is wrong with the
/// value.
extension KeyedDecodingContainer {
    /// Reads a size where there is one: bytes, or a text such as `"64MiB"`.
    package func read(_ value: inout Int, _ key: Key, sizeIn range: ClosedRange<Int>) throws {
        guard contains(key) else { return }
        let bytes: Int
        do {
            bytes = try decode(Int.self, forKey: key)
        } catch DecodingError.typeMismatch {
            let text = try decode(String.self, forKey: key)
            guard let parsed = parseByteCount(text) else {
                throw failure(key, "\"\(text)\" is not a size such as 512KiB, 64MiB or 4GiB")
            }
            bytes = parsed
        }
        guard range.contains(bytes) else {
            throw failure(key, "\(bytes) bytes is not between \(range.lowerBound) and \(range.upperBound)")
        }
        value = bytes
    }

    /// Reads a number where there is one.
    package func read(_ value: inout Int, _ key: Key, in range: ClosedRange<Int>) throws {
        guard let number = try decodeIfPresent(Int.self, forKey: key) else { return }
        guard range.contains(number) else {
            throw failure(key, "\(number) is not between \(range.lowerBound) and \(range.upperBound)")
        }
        value = number
    }

    /// Reads one of several names where there is one.
    package func read<Value: RawRepresentable<String> & CaseIterable>(_ value: inout Value, oneOf key: Key) throws {
        guard let name = try decodeIfPresent(String.self, forKey: key) else { return }
        guard let known = Value(rawValue: name) else {
            let names = Value.allCases.map(\.rawValue).joined(separator: ", ")
            throw failure(key, "\"\(name)\" is not one of \(names)")
        }
        value = known
    }

    /// The error for a value of a key that cannot be used.
    package func failure(_ key: Key, _ message: String) -> DecodingError {
        .dataCorruptedError(forKey: key, in: self, debugDescription: message)
    }
}

/// Bytes of a size like `64GiB`, `512 MiB` or `4096`; nil for anything else.
package func parseByteCount(_ text: String) -> Int? {
    let digits = text.prefix { $0.isASCII && $0.isWholeNumber }
    let unit = text[digits.endIndex...].drop { $0 == " " }
    let shifts = ["": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40]
    guard let number = Int(digits), let shift = shifts[String(unit)] else { return nil }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
    return overflow ? nil : bytes
}
