package import Logging

/// One message, as it is written: a line that has no line break inside, whatever the message says.
package struct LogLine {
    private let time: String
    private let level: Logger.Level
    private let message: String
    private let fields: [(key: String, value: Logger.Metadata.Value)]

    /// - Parameter time: As it is to stand there.
    package init(time: String, level: Logger.Level, message: String, fields: Logger.Metadata) {
        self.time = time
        self.level = level
        self.message = message
        self.fields = fields.sorted { $0.key < $1.key }
    }

    /// Time, level, message, `key=value`.
    package var text: String {
        let tail = fields.map { " \($0.key)=\(LogLine.onOneLine("\($0.value)"))" }.joined()
        return "\(time) \(level) \(LogLine.onOneLine(message))\(tail)"
    }

    /// An object with `time`, `level`, `message`, and each field under its key.
    /// - Parameter node: Who says it; stands there as well.
    package func json(node: String?) -> String {
        var own = [("time", time), ("level", level.rawValue), ("message", message)]
        if let node { own.append(("node", node)) }
        let names = Set(own.map(\.0))
        var members = own.map { "\(LogLine.quoted($0.0)):\(LogLine.quoted($0.1))" }
        for (key, value) in fields {
            // Each name stands once, so that every reader takes the same.
            let name = names.contains(key) ? "field.\(key)" : key
            members.append("\(LogLine.quoted(name)):\(LogLine.json(value))")
        }
        return "{\(members.joined(separator: ","))}"
    }

    private static func json(_ value: Logger.Metadata.Value) -> String {
        switch value {
        case .string(let text): return quoted(text)
        case .stringConvertible(let value): return quoted(value.description)
        case .array(let values): return "[\(values.map(json).joined(separator: ","))]"
        case .dictionary(let values):
            let members = values.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(json($0.value))" }
            return "{\(members.joined(separator: ","))}"
        }
    }

    /// What would break the line, or make a terminal do something, as an escape.
    private static func onOneLine(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) else { return text }
        return text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? escape($0) : String($0) }.joined()
    }

    /// A JSON string.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case _ where scalar.value < 0x20: result += escape(scalar)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    private static func escape(_ scalar: Unicode.Scalar) -> String {
        switch scalar {
        case "\n": return "\\n"
        case "\r": return "\\r"
        case "\t": return "\\t"
        default:
            let hex = String(scalar.value, radix: 16)
            return "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
        }
    }
}
