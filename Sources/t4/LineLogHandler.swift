import Logging
import T4Config

/// Writes log messages to standard error, one line each, as text or as a JSON object.
struct LineLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level
    private let label: String
    private let format: LogFormat

    init(label: String, level: Logger.Level, format: LogFormat) {
        self.label = label
        self.logLevel = level
        self.format = format
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = metadata.merging(event.metadata ?? [:]) { _, new in new }.sorted { $0.key < $1.key }
        let time = WallClock.timestamp
        switch format {
        case .text:
            let tail = fields.map { " \($0.key)=\($0.value)" }.joined()
            StandardError.write("\(time) \(event.level) \(event.message)\(tail)\n")
        case .json:
            var object = "{\"time\":\(quoted(time)),\"level\":\(quoted(event.level.rawValue))"
            object += ",\"message\":\(quoted(event.message.description))"
            for (key, value) in fields { object += ",\(quoted(key)):\(quoted("\(value)"))" }
            StandardError.write(object + "}\n")
        }
    }

    /// A JSON string.
    private func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

extension LogLevel {
    /// The same level of swift-log.
    var loggerLevel: Logger.Level { Logger.Level(rawValue: rawValue) ?? .info }
}
