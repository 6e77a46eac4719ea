import Logging
import Synchronization
import T4Config
import T4Server

/// What is logged and how it looks, for all loggers of the process; may change at any time.
final class LogStyle: Sendable {
    private let current: Mutex<(level: LogLevel, format: LogFormat)>
    /// In each JSON object: who wrote it, for readers that have the messages of several.
    let node: String?

    init(level: LogLevel, format: LogFormat, node: String? = nil) {
        current = Mutex((level, format))
        self.node = node
    }

    var level: LogLevel { current.withLock { $0.level } }
    var format: LogFormat { current.withLock { $0.format } }

    func set(level: LogLevel, format: LogFormat) { current.withLock { $0 = (level, format) } }
}

/// Writes log messages to standard error, one line each, as text or as a JSON object.
///
/// docs/operations.md says what a line holds: programs read them.
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
        var fields = metadata.merging(event.metadata ?? [:]) { _, new in new }
        if let error = event.error { fields["error"] = "\(error)" }
        let line = LogLine(
            time: WallClock.timestamp, level: event.level, message: event.message.description, fields: fields)
        switch style.format {
        case .text: StandardError.write(line.text + "\n")
        case .json: StandardError.write(line.json(node: style.node) + "\n")
        }
    }
}

extension LogLevel {
    /// The same level of swift-log.
    fileprivate var loggerLevel: Logger.Level { Logger.Level(rawValue: rawValue) ?? .info }
}
