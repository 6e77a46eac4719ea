import NIOCore
import NIOHTTP1
import Synchronization

/// One HTTP request, of HTTP/1 or of HTTP/2, and the means to answer it. Only on the connection's event loop.
package final class HTTPExchange {
    /// As much of a body is read that nobody wants: the client reads the answer, a connection of HTTP/1 lives on, and some
    /// clients forget an answer whose stream is reset behind it.
    static let unwantedBytesMax = 256 * 1024

    /// The method, as `POST`.
    package let method: String
    /// The path with its percent signs resolved, without the query. `pathBytes` as text: what is no UTF-8 is replaced.
    package let path: String
    /// The path with its percent signs resolved; empty where the client named a server alone.
    package let pathBytes: [UInt8]
    /// What the client wrote before the path, as in `http://host`; mostly empty.
    package let origin: String
    /// What stands behind the question mark; empty without one.
    package let query: String
    /// The client's address as `1.2.3.4:567`; nil if the transport has none.
    package let remoteAddress: String?
    let isKeepAlive: Bool
    /// HTTP/1.0 knows no chunks: only the end of the connection ends a stream.
    let isOldVersion: Bool
    /// The head says that a body follows.
    let hasBody: Bool
    /// The client wants a WebSocket in place of an answer (RFC 6455), in the way that is right or not quite.
    package let asksForWebSocket: Bool
    /// The client has one: the texts it sends are the body of this request, with a line end behind each, and each line of the
    /// answer is a text for it. It sees neither status nor headers.
    package private(set) var isWebSocket = false
    private let headers: HTTPHeaders
    private weak var carrier: (any HTTPCarrier)?
    private let over = Over()

    /// Whether nobody waits for an answer any more, for all threads.
    private final class Over: Sendable {
        let value = Atomic(false)
    }

    /// The answer has begun.
    package private(set) var isStarted = false
    /// The answer is complete.
    package private(set) var isEnded = false

    init(_ head: HTTPRequestHead, _ target: HTTPTarget, carrier: any HTTPCarrier, remoteAddress: String?) {
        method = head.method.rawValue
        path = String(decoding: target.path, as: UTF8.self)
        pathBytes = target.path
        origin = target.origin
        query = target.query
        headers = head.headers
        // After a request for another protocol the decoder takes what follows for that protocol.
        isKeepAlive = head.isKeepAlive && head.method != .CONNECT && !head.headers.contains(name: "upgrade")
        isOldVersion = head.version.major == 1 && head.version.minor == 0
        hasBody =
            head.headers.contains(name: "transfer-encoding")
            || !["", "0"].contains(head.headers["content-length"].first ?? "")
        asksForWebSocket =
            head.headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" }
            && head.headers[canonicalForm: "upgrade"].contains { $0.lowercased() == "websocket" }
        self.remoteAddress = remoteAddress
        self.carrier = carrier
    }

    func becomesWebSocket() { isWebSocket = true }

    /// The values of a header, in the order they were sent.
    package func header(_ name: String) -> [String] { headers[name] }

    /// All headers, in the order they were sent.
    package var headerFields: [(name: String, value: String)] { headers.map { ($0.name, $0.value) } }

    /// A client of this same server, that carries the calls of this connection; the limits of a gRPC connection are its
    /// limits. Nil once the client is gone.
    package func makeClient() throws -> RPCClient? { try carrier?.innerClient() }

    /// False while the client does not read; then `onWritable` comes.
    package var isWritable: Bool { carrier?.isWritable ?? true }

    /// Starts something that gives one value, on any thread, and runs `body` with it on the event loop.
    package func after<Value: Sendable>(
        _ start: (@escaping @Sendable (Value) -> Void) -> Void, _ body: @escaping (HTTPExchange, Value) -> Void
    ) {
        guard let loop = carrier?.eventLoop else { return }
        let rest = NIOLoopBound((exchange: self, body: body), eventLoop: loop)
        let isOver = over
        start { value in
            // The event loop may be gone with the client.
            guard !isOver.value.load(ordering: .acquiring) else { return }
            if loop.inEventLoop {
                rest.value.body(rest.value.exchange, value)
            } else {
                loop.execute { rest.value.body(rest.value.exchange, value) }
            }
        }
    }

    /// Answers whole. HEAD gets the head alone.
    package func respond(_ head: HTTPAnswerHead, body: [UInt8]) {
        guard begin() else { return }
        isEnded = true
        carrier?.respond(self, head, body)
    }

    /// Answers with a stream of nothing: as if it came in pieces, of which there are none.
    package func respondWithoutPieces(_ head: HTTPAnswerHead) {
        guard begin() else { return }
        isEnded = true
        carrier?.respondWithoutPieces(self, head)
    }

    /// Begins an answer that comes in pieces; the head leaves at once.
    package func start(_ head: HTTPAnswerHead) {
        guard begin() else { return }
        carrier?.start(self, head)
    }

    /// Sends a piece, over HTTP/1 as a chunk of its own.
    package func send(_ bytes: [UInt8]) {
        guard isStarted, !isEnded, !bytes.isEmpty else { return }
        carrier?.send(bytes)
    }

    /// Ends what `start` began.
    package func finish() {
        guard isStarted, !isEnded else { return }
        isEnded = true
        carrier?.finish(self)
    }

    /// The handler takes more of the body.
    package func resumeReading() { carrier?.resumeReading() }

    /// The client is gone, or is to hear nothing more: answers come to nothing.
    func abandon() {
        isStarted = true
        isEnded = true
        over.value.store(true, ordering: .releasing)
    }

    private func begin() -> Bool {
        guard !isStarted else { return false }
        isStarted = true
        return true
    }
}
