import Logging
import Synchronization
import T4Config

/// What is logged and how it looks, for all loggers of the process; may change at any time.
final class LogStyle: Sendable {
    private let current: Mutex<(level: LogLevel, format: LogFormat)>

    init(level: LogLevel, format: LogFormat) { current = Mutex((level, format)) }

    var level: LogLevel { current.withLock { $0.level } }
    var format: LogFormat { current.withLock { $0.format } }

    func set(level: LogLevel, format: LogFormat) { current.withLock { $0 = (level, format) } }
}

/// Writes log messages to standard error, one line each, as text or as a JSON object.
struct LineLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    /// The level of this logger alone, for one that was given its own.
    private var ownLevel: Logger.Level?
    private let label: String
    private let style: LogStyle

    init(label: String, style: LogStyle) {
        self.label = label
        self.style = style
    }

    /// A handler whose style never changes.
    init(label: String, level: LogLevel, format: LogFormat) {
        self.init(label: label, style: LogStyle(level: level, format: format))
    }

    var logLevel: Logger.Level {
        get { ownLevel ?? style.level.loggerLevel }
        set { ownLevel = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = metadata.merging(event.metadata ?? [:]) { _, new in new }.sorted { $0.key < $1.key }
        let time = WallClock.timestamp
        switch style.format {
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
    fileprivate var loggerLevel: Logger.Level { Logger.Level(rawValue: rawValue) ?? .info }
}
