import Logging
import T4Protocols

/// Keeps the messages of a level and above, with their metadata.
struct CollectedLog: LogHandler {
    private let lines: Monitor<[String]>
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level

    init(_ lines: Monitor<[String]>, level: Logger.Level = .error) {
        self.lines = lines
        logLevel = level
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        lines.withLock { $0.append("\(event.message) \(event.metadata ?? [:])") }
        lines.broadcast()
    }
}
