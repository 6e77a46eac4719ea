/// Answers the requests of a server that are no gRPC. Its methods are called on event loops and must not block.
package protocol HTTPService: Sendable {
    /// The head of a request has come.
    /// - Returns: What takes the body and hears how the request goes on; `onEnd` comes in any case but after `onGone`.
    func begin(_ exchange: HTTPExchange) -> any HTTPRequestHandler
    /// The client wants a WebSocket. `begin` comes later for those that get one, else at once.
    /// - Returns: What the answer has beside the headers that the protocol asks for; nil where there are no WebSockets.
    func webSocketHeaders(for exchange: HTTPExchange) -> [(String, String)]?
}

/// Takes the body of one request. All methods are called on the connection's event loop, one after the other.
package protocol HTTPRequestHandler: AnyObject {
    /// A piece of the body has come, lent for the duration of the call.
    func onBody(_ bytes: RawSpan)
    /// The request has come whole.
    func onEnd()
    /// `isWritable` of the exchange was false, and more can be sent.
    func onWritable()
    /// The client is gone, or is cut off, before the answer was complete. The last thing that the handler hears.
    func onGone()
    /// Bytes of the body that it holds.
    var heldBytes: Int { get }
    /// False stops the reading of the body, until `resumeReading` of the exchange.
    var mayRead: Bool { get }
    /// A part of the request has come that is of use only with the rest of it: the client may take its time only between
    /// such parts.
    var isMidMessage: Bool { get }
}

/// A status line and headers of an answer.
package struct HTTPAnswerHead: Sendable {
    /// The number, as 200.
    package var status: Int
    /// Names and values beside `Date` and what frames the body.
    package var headers: [(String, String)]

    package init(status: Int, headers: [(String, String)]) {
        self.status = status
        self.headers = headers
    }
}
