import Logging
import NIOCore
import Synchronization

/// What a client has done that the server does not put up with.
enum ClientFault: Int, CaseIterable, Sendable {
    case noHandshake
    case noHTTP2
    case tlsOnPlainPort
    case plainOnTLSPort
    case failedTLS
    case brokenHTTP2
    case brokenHTTP1
    case slowHeaders
    case slowRequest
    case uselessFrames
    case unreadFrames
    case buffersMost
    case tooManyConnections
    case tooManyStreams
    case tooManyIncomplete

    /// Said to the client, where it can be told, and in the log.
    var text: String {
        switch self {
        case .noHandshake: "no HTTP/2 handshake, and no request, within the time for it"
        case .noHTTP2: "neither HTTP/2 nor HTTP/1"
        case .tlsOnPlainPort: "a TLS handshake, and this port has no TLS"
        case .plainOnTLSPort: "no TLS handshake, and this port speaks TLS only"
        case .failedTLS: "a TLS handshake that failed"
        case .brokenHTTP2: "a breach of HTTP/2"
        case .brokenHTTP1: "a breach of HTTP/1"
        case .slowHeaders: "headers of a request that do not end within the time for them"
        case .slowRequest: "a request that does not arrive within the time for it"
        case .uselessFrames: "too many frames that ask for nothing"
        case .unreadFrames: "too many frames that wait unread"
        case .buffersMost: "memory for requests and answers is short, and this connection holds much of it for long"
        case .tooManyConnections: "too many connections"
        case .tooManyStreams: "too many open requests and watches on this server"
        case .tooManyIncomplete: "too many bytes of incomplete requests on this connection"
        }
    }
}

/// Tells of clients' faults in the log: each kind once in an interval only, with how often it came meanwhile, so that
/// nobody fills a disk by misbehaving.
final class ClientFaultLog: Sendable {
    private struct Entry {
        var quietUntil = NIODeadline.uptimeNanoseconds(0)
        var untold = 0
    }

    private let interval: TimeAmount
    private let logger: Logger
    private let entries = Mutex([Entry](repeating: Entry(), count: ClientFault.allCases.count))

    init(logger: Logger, interval: Duration) {
        self.logger = logger
        self.interval = .nanoseconds(interval.nanoseconds)
    }

    /// - Parameter detail: What is known of this one.
    func note(_ fault: ClientFault, from address: String?, detail: String? = nil) {
        let now = NIODeadline.now()
        let untold = entries.withLock { entries -> Int? in
            guard entries[fault.rawValue].quietUntil <= now else {
                entries[fault.rawValue].untold += 1
                return nil
            }
            defer { entries[fault.rawValue] = Entry(quietUntil: now + interval) }
            return entries[fault.rawValue].untold
        }
        guard let untold else { return }
        var metadata: Logger.Metadata = ["client": "\(address ?? "unknown")"]
        if let detail { metadata["reason"] = "\(detail)" }
        if untold > 0 { metadata["since_last_message"] = "\(untold)" }
        logger.warning("a client was cut off or refused: \(fault.text)", metadata: metadata)
    }
}
