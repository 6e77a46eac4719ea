import NIOCore

/// What a request came with and its answer leaves by. Confined to the event loop.
protocol HTTPCarrier: AnyObject {
    /// To which everything is confined.
    var eventLoop: any EventLoop { get }
    /// False while the client does not read; then the request's handler hears `onWritable`.
    var isWritable: Bool { get }
    /// A client of this same server; nil once the connection is gone.
    func innerClient() throws -> RPCClient?
    /// Sends an answer whole.
    func respond(_ exchange: HTTPExchange, _ head: HTTPAnswerHead, _ body: [UInt8])
    /// Sends an answer that could have come in pieces, without any.
    func respondWithoutPieces(_ exchange: HTTPExchange, _ head: HTTPAnswerHead)
    /// Sends the head of an answer that comes in pieces.
    func start(_ exchange: HTTPExchange, _ head: HTTPAnswerHead)
    /// Sends a piece.
    func send(_ bytes: [UInt8])
    /// Ends what `start` began.
    func finish(_ exchange: HTTPExchange)
    /// The handler takes more of the body.
    func resumeReading()
}

/// The connection through which the HTTP requests of one client call the services of this same server, made when it is
/// needed first. The limits of a gRPC connection are its limits. Confined to the event loop.
struct InnerClient {
    private unowned let loop: ServerLoop
    /// Of the client on whose behalf it calls.
    private let remoteAddress: String?
    private var client: RPCClient?

    init(loop: ServerLoop, remoteAddress: String?) {
        self.loop = loop
        self.remoteAddress = remoteAddress
    }

    mutating func connected() throws -> RPCClient {
        if let client, client.isConnected { return client }
        let made = try loop.connectInside(for: remoteAddress)
        client = made
        return made
    }

    /// Closes it.
    mutating func close() { client = nil }
}
