import Logging
import T4Config
import T4Protocols
import T4Server

/// Reads the configuration again while the node runs, on SIGHUP.
struct Reload {
    let source: ConfigurationSource
    let registry: BackendRegistry
    let style: LogStyle
    let slowRequests: SlowRequests
    /// What the node runs with: what it was started with, and what reloads have changed since.
    var running: Configuration

    /// Takes over what can be taken over and names everything else that has changed; where anything is wrong with the
    /// configuration, everything stays as it was.
    mutating func run(_ logger: Logger) {
        let configuration: Configuration
        do {
            configuration = try source.load(registry)
        } catch {
            for problem in error.problems { logger.error("the configuration stays as it was: \(problem)") }
            return
        }
        for warning in configuration.warnings { logger.warning("\(warning)") }
        let changes = running.changes(to: configuration)
        running = running.reloaded(from: configuration)
        // What has changed is told at the level before and at the one afterwards, whichever shows more.
        let log = running.log
        slowRequests.set(log.slowRequest)
        style.set(level: min(style.level, log.level), format: log.format)
        defer { style.set(level: log.level, format: log.format) }
        for change in changes {
            if change.isReloadable {
                logger.notice("\(change)")
            } else {
                logger.warning("\(change): needs a restart")
            }
        }
        logger.notice("the configuration was read again", metadata: ["changes": "\(changes.count)"])
    }
}
