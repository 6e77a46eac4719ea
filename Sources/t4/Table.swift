import FoundationEssentials

/// Text tables for people.
enum Table {
    /// Columns padded to their widest cell, two spaces apart.
    static func columns(_ rows: [[String]]) -> String {
        let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            row.enumerated().map { column, cell in
                column == row.count - 1 ? cell : cell + spaces(widths[column] - cell.count + 2)
            }.joined()
        }.joined(separator: "\n")
    }

    /// One `Label:  value` a line, values in one column.
    static func labelled(_ lines: [(label: String, value: String)]) -> String {
        let width = lines.map(\.label.count).max() ?? 0
        return lines.map { "\($0.label):\(spaces(width - $0.label.count + 1))\($0.value)" }.joined(separator: "\n")
    }

    /// A quoted string where the bytes are printable UTF-8, else `0x` and hexadecimal digits.
    static func text(_ bytes: [UInt8]) -> String {
        if let text = String(validating: bytes, as: UTF8.self),
            text.unicodeScalars.allSatisfy({ $0.properties.generalCategory != .control && $0 != "\u{FFFD}" })
        {
            return "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
        }
        return "0x" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private static func spaces(_ count: Int) -> String { String(repeating: " ", count: max(0, count)) }
}

/// JSON for programs.
enum JSONText {
    static func of(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}
