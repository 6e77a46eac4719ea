import NIOCore
import NIOHTTP1

/// One HTTP/1 request and the means to answer it. Only on the connection's event loop.
package final class HTTPExchange {
    /// The method, as `POST`.
    package let method: String
    /// The path as it was sent, without the query.
    package let path: String
    /// What stands behind the question mark; empty without one.
    package let query: String
    /// The client's address as `1.2.3.4:567`; nil if the transport has none.
    package let remoteAddress: String?
    let isKeepAlive: Bool
    /// HTTP/1.0 knows no chunks: only the end of the connection ends a stream.
    let isOldVersion: Bool
    private let headers: HTTPHeaders
    private weak var connection: HTTP1Connection?
    /// The answer has begun.
    package private(set) var isStarted = false
    /// The answer is complete.
    package private(set) var isEnded = false

    init(_ head: HTTPRequestHead, connection: HTTP1Connection) {
        method = head.method.rawValue
        let parts = head.uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        path = parts.first.map(String.init) ?? ""
        query = parts.count > 1 ? String(parts[1]) : ""
        headers = head.headers
        // After a request for another protocol the decoder takes what follows for that protocol.
        isKeepAlive = head.isKeepAlive && head.method != .CONNECT && !head.headers.contains(name: "upgrade")
        isOldVersion = head.version.major == 1 && head.version.minor == 0
        remoteAddress = connection.remoteAddress
        self.connection = connection
    }

    /// The values of a header, in the order they were sent.
    package func header(_ name: String) -> [String] { headers[name] }

    /// A client of this same server, that carries the calls of this connection; the limits of a gRPC connection are its
    /// limits. Nil once the client is gone.
    package func makeClient() throws -> RPCClient? { try connection?.innerClient() }

    /// False while the client does not read; then `onWritable` comes.
    package var isWritable: Bool { connection?.isWritable ?? true }

    /// Answers whole. HEAD gets the head alone.
    package func respond(_ head: HTTPAnswerHead, body: [UInt8]) {
        guard begin() else { return }
        isEnded = true
        connection?.respond(self, head, body)
    }

    /// Begins an answer that comes in pieces; the head leaves at once.
    package func start(_ head: HTTPAnswerHead) {
        guard begin() else { return }
        connection?.start(self, head)
    }

    /// Sends a piece, as a chunk of its own.
    package func send(_ bytes: [UInt8]) {
        guard isStarted, !isEnded, !bytes.isEmpty else { return }
        connection?.send(bytes)
    }

    /// Ends what `start` began.
    package func finish() {
        guard isStarted, !isEnded else { return }
        isEnded = true
        connection?.finish(self)
    }

    /// The handler takes more of the body.
    package func resumeReading() { connection?.resumeReading() }

    /// The client is gone, or is to hear nothing more: answers come to nothing.
    func abandon() {
        isStarted = true
        isEnded = true
    }

    private func begin() -> Bool {
        guard !isStarted else { return false }
        isStarted = true
        return true
    }
}
