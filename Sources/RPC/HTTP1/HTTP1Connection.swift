import NIOCore
import NIOHTTP1

/// The server's side of an HTTP/1 connection: one request after the other, each handed to the `HTTPService`.
///
/// Behind NIO's decoder, encoder and pipelining handler. Confined to the event loop.
final class HTTP1Connection: ChannelDuplexHandler, BoundedConnection {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// As much of a body is read that nobody wants, so that the client reads the answer and the connection lives on.
    private static let unwantedBytesMax = 256 * 1024
    /// How long the client may take to close its side after the last bytes for it have left.
    private static let lingerSeconds: Int64 = 1

    let remoteAddress: String?
    private var closesAfterAnswer = false
    private let service: any HTTPService
    private let shared: ServerShared
    private unowned let loop: ServerLoop
    private var context: ChannelHandlerContext?
    private var client: RPCClient?
    private var exchange: HTTPExchange?
    private var handler: (any HTTPRequestHandler)?
    private var isRequestComplete = true
    private var hasRequest = false
    private var unwantedBytes = 0
    /// The channel wants to read, and the handler does not.
    private var isReadingHeld = false
    /// The answer that is being written is the last one.
    private var ignoresRequests = false
    private var isClosing = false
    private var isShuttingDown = false
    /// When the part of a request began that has not come whole, as of the loop's last sweep; nil while none has begun.
    private var begun: NIODeadline?
    private let openedAt: NIODeadline
    private var bytesReceived = 0
    private var bytesWritten = 0
    /// As counted in the loop's memory.
    private var countedBytes = 0
    private var reading = Pace()
    private var sending = Pace()

    init(service: any HTTPService, loop: ServerLoop, shared: ServerShared, remoteAddress: String?) {
        self.service = service
        self.loop = loop
        self.shared = shared
        self.remoteAddress = remoteAddress
        openedAt = loop.context.sweptAt
    }

    /// Adds what speaks HTTP/1 to a pipeline, in front of this.
    func install(in channel: any Channel) throws {
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(HTTP1Meter { [unowned self] count in sawBytes(count) })
        try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: true, withErrorHandling: true)
        try pipeline.addHandler(self)
    }

    // MARK: Requests

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    private func sawBytes(_ count: Int) {
        bytesReceived += count
        if begun == nil, isRequestComplete { begun = loop.context.sweptAt }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosing, !ignoresRequests else { return }
        switch unwrapInboundIn(data) {
        case .head(let head): begin(head)
        case .body(let bytes): take(bytes)
        case .end: end()
        }
        count()
    }

    private func begin(_ head: HTTPRequestHead) {
        hasRequest = true
        isRequestComplete = false
        unwantedBytes = 0
        begun = loop.context.sweptAt
        let exchange = HTTPExchange(head, connection: self)
        self.exchange = exchange
        if !exchange.isOldVersion, head.headers["expect"].contains(where: { $0.lowercased() == "100-continue" }) {
            context?.writeAndFlush(
                wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .continue))), promise: nil)
        }
        let handler = service.begin(exchange)
        if !exchange.isEnded { self.handler = handler }
    }

    private func take(_ bytes: ByteBuffer) {
        guard let handler else {
            unwantedBytes += bytes.readableBytes
            if unwantedBytes > Self.unwantedBytesMax { closeAfterFlush() }
            return
        }
        if !handler.isMidMessage { begun = loop.context.sweptAt }
        bytes.withUnsafeReadableBytes { handler.onBody($0.bytes) }
    }

    private func end() {
        isRequestComplete = true
        begun = nil
        handler?.onEnd()
        if exchange == nil, closesAfterAnswer || isShuttingDown { closeAfterFlush() }
    }

    func read(context: ChannelHandlerContext) {
        if let handler, !handler.mayRead {
            isReadingHeld = true
        } else {
            context.read()
        }
    }

    func resumeReading() {
        guard isReadingHeld else { return }
        isReadingHeld = false
        context?.read()
    }

    /// The connection to the services of this server, made when it is needed first.
    func innerClient() throws -> RPCClient? {
        guard !isClosing else { return nil }
        if let client, client.isConnected { return client }
        let made = try loop.connectInside(for: remoteAddress)
        client = made
        return made
    }

    // MARK: Answers

    var isWritable: Bool { context?.channel.isWritable ?? true }

    func respond(_ exchange: HTTPExchange, _ head: HTTPAnswerHead, _ body: [UInt8]) {
        var headers = self.headers(head, of: exchange)
        headers.add(name: "Content-Length", value: "\(body.count)")
        write(.head(responseHead(head, headers, exchange)))
        if exchange.method != "HEAD", !body.isEmpty { write(.body(.byteBuffer(ByteBuffer(bytes: body)))) }
        bytesWritten += body.count
        answered(exchange)
    }

    func start(_ exchange: HTTPExchange, _ head: HTTPAnswerHead) {
        if exchange.isOldVersion { closesAfterAnswer = true }
        write(.head(responseHead(head, headers(head, of: exchange), exchange)))
        context?.flush()
    }

    func send(_ bytes: [UInt8]) {
        bytesWritten += bytes.count
        flush(.body(.byteBuffer(ByteBuffer(bytes: bytes))))
    }

    func finish(_ exchange: HTTPExchange) { answered(exchange) }

    private func answered(_ exchange: HTTPExchange) {
        handler = nil
        self.exchange = nil
        resumeReading()
        if !exchange.isKeepAlive { closesAfterAnswer = true }
        let isLast = isRequestComplete && (closesAfterAnswer || isShuttingDown)
        // With the end of an answer the next request may come, before this returns.
        ignoresRequests = isLast
        flush(.end(nil))
        if isLast { closeAfterFlush() }
    }

    private func write(_ part: HTTPServerResponsePart) { context?.write(wrapOutboundOut(part), promise: nil) }

    private func flush(_ part: HTTPServerResponsePart) {
        guard let context else { return }
        context.writeAndFlush(wrapOutboundOut(part)).assumeIsolated().whenComplete { [weak self] _ in self?.count() }
        count()
    }

    private func responseHead(
        _ head: HTTPAnswerHead, _ headers: HTTPHeaders, _ exchange: HTTPExchange
    ) -> HTTPResponseHead {
        // The encoder makes chunks for those who know them.
        HTTPResponseHead(
            version: exchange.isOldVersion ? .http1_0 : .http1_1, status: HTTPResponseStatus(statusCode: head.status),
            headers: headers)
    }

    private func headers(_ head: HTTPAnswerHead, of exchange: HTTPExchange) -> HTTPHeaders {
        var headers = HTTPHeaders(head.headers)
        headers.add(name: "Date", value: loop.httpDate())
        if closesAfterAnswer || isShuttingDown || !exchange.isKeepAlive {
            headers.add(name: "Connection", value: "close")
        } else if exchange.isOldVersion {
            headers.add(name: "Connection", value: "keep-alive")
        }
        return headers
    }

    // MARK: The end

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        count()
        if context.channel.isWritable { handler?.onWritable() }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is HTTPParserError { shared.faults.note(.brokenHTTP1, from: remoteAddress) }
        closeAfterFlush()
    }

    func channelInactive(context: ChannelHandlerContext) {
        tearDown()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        tearDown()
        self.context = nil
    }

    private func tearDown() {
        isClosing = true
        abandonRequest()
        client = nil
        loop.context.buffered(-countedBytes)
        countedBytes = 0
    }

    private func abandonRequest() {
        let handler = handler
        self.handler = nil
        exchange?.abandon()
        exchange = nil
        handler?.onGone()
    }

    /// Closes once what has been written has left; the client gets a moment to read it.
    private func closeAfterFlush() {
        guard !isClosing, let context else { return }
        isClosing = true
        let channel = context.channel
        abandonRequest()
        channel.close(mode: .output).whenFailure { _ in channel.close(promise: nil) }
        channel.eventLoop.scheduleTask(in: .seconds(Self.lingerSeconds)) { channel.close(promise: nil) }
    }

    // MARK: Limits

    var bufferedBytes: Int { countedBytes }
    var bytesOwed: Int { handler?.heldBytes ?? 0 }
    var isStalled: Bool { reading.isStalled || sending.isStalled }
    var isSlow: Bool { reading.isSlow || sending.isSlow }

    /// Bytes of answers that the client has not taken.
    private var unsentBytes: Int {
        guard let options = context?.channel.syncOptions else { return 0 }
        do {
            return try options.getOption(.bufferedWritableBytes)
        } catch {
            // A channel without a socket, as in tests, keeps nothing.
            return 0
        }
    }

    /// Tells the loop how much memory this takes; as with gRPC, of one large answer a part counts.
    private func count() {
        guard context != nil, !isClosing else { return }
        let now = (handler?.heldBytes ?? 0) + min(unsentBytes, shared.settings.answerBytesCounted)
        guard now != countedBytes else { return }
        loop.context.buffered(now - countedBytes)
        countedBytes = now
    }

    func lookAtPace(at time: NIODeadline) {
        count()
        let spare = shared.configuration.pendingBytesHigh
        let stall = Double(shared.configuration.stallTime.nanoseconds) / 1e9
        let unsent = unsentBytes
        reading.look(held: unsent, spare: spare, moved: bytesWritten - unsent, at: time, stallSeconds: stall)
        sending.look(held: handler?.heldBytes ?? 0, spare: spare, moved: bytesReceived, at: time, stallSeconds: stall)
    }

    func forgetPace() {
        reading = Pace()
        sending = Pace()
    }

    func cutOff(_ fault: ClientFault) {
        guard !isClosing else { return }
        shared.faults.note(fault, from: remoteAddress)
        context?.close(promise: nil)
    }

    func sweep(handshakes: NIODeadline, requests: NIODeadline) {
        if !hasRequest, openedAt < handshakes { return cutOff(.noHandshake) }
        guard let begun, begun < requests, !isRequestComplete || handler == nil else { return }
        if let handler, !handler.isMidMessage { return }
        cutOff(.slowRequest)
    }

    func drain() {}

    func lookForRoom() {}

    /// The request that runs is answered.
    func beginShutdown() {
        isShuttingDown = true
        if exchange == nil { closeAfterFlush() }
    }
}

/// Sees the bytes in front of the decoder.
private final class HTTP1Meter: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let note: (Int) -> Void

    init(_ note: @escaping (Int) -> Void) { self.note = note }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        note(unwrapInboundIn(data).readableBytes)
        context.fireChannelRead(data)
    }
}
