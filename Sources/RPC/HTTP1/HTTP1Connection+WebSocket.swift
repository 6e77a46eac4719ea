import NIOCore
import NIOHTTP1
import NIOWebSocket

/// How far a connection is on the way from HTTP/1 to WebSocket (RFC 6455).
enum WebSocketStage: Equatable {
    case none
    /// The head of the request was right; once it has come whole, it is answered with these headers.
    case accepted(HTTPHeaders)
    /// The handlers of the pipeline change.
    case switching
    case open

    /// The headers of the answer; nil when the request lacks what a WebSocket needs.
    static func answer(
        to head: HTTPRequestHead, with headers: [(String, String)], on channel: (any Channel)?
    ) -> HTTPHeaders? {
        guard let channel, head.method == .GET, head.version == .http1_1,
            head.headers["sec-websocket-key"].first?.isEmpty == false
        else { return nil }
        let upgrader = NIOWebSocketServerUpgrader(
            shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture(HTTPHeaders()) },
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() })
        var answer: HTTPHeaders?
        upgrader.buildUpgradeResponse(
            channel: channel, upgradeRequest: head, initialResponseHeaders: HTTPHeaders()
        ).assumeIsolated().whenSuccess { answer = $0 }
        for (name, value) in headers { answer?.add(name: name, value: value) }
        return answer
    }
}

extension HTTP1Connection {
    /// Has the pipeline speak WebSocket: what comes and goes are parts of HTTP for this connection still.
    func switchToWebSocket(_ answer: HTTPHeaders) {
        guard let context else { return }
        webSocket = .switching
        write(.head(HTTPResponseHead(version: .http1_1, status: .switchingProtocols, headers: answer)))
        write(.end(nil))
        context.flush()
        let pipeline = context.pipeline.syncOperations
        do {
            try pipeline.removeHandler(pipeline.handler(type: NIOHTTPResponseHeadersValidator.self), promise: nil)
            try pipeline.removeHandler(pipeline.handler(type: HTTPResponseEncoder.self), promise: nil)
            // Gone with the next turn of the loop.
            pipeline.removeHandler(
                context: try pipeline.context(handlerType: ByteToMessageHandler<HTTPRequestDecoder>.self)
            ).assumeIsolated().whenComplete { [weak self] _ in self?.speakWebSocket() }
        } catch {
            closeAfterFlush()
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is WebSocketParts.Closed { return closeAfterFlush() }
        context.fireUserInboundEventTriggered(event)
    }

    private func speakWebSocket() {
        guard let context else { return }
        let decoder = WebSocketFrameDecoder(maxFrameSize: min(shared.configuration.textSizeMax, Int(UInt32.max)))
        do {
            try context.pipeline.syncOperations.addHandlers(
                [
                    WebSocketFrameEncoder(), ByteToMessageHandler(decoder), WebSocketProtocolErrorHandler(),
                    WebSocketParts(),
                ], position: .before(self))
        } catch {
            return closeAfterFlush()
        }
        webSocketIsOpen()
    }
}
