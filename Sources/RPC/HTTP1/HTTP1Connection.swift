import NIOCore
import NIOHTTP1

/// The server's side of an HTTP/1 connection: one request after the other, each handed to the `HTTPService`.
///
/// Behind the inbox, NIO's decoder and its encoder. A request begins when the one before is answered and the client has
/// read enough of it; until then its bytes wait, and no more are read. Confined to the event loop.
final class HTTP1Connection: ChannelDuplexHandler, BoundedConnection, HTTPCarrier {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// What the decoder has made of the bytes.
    private enum Event {
        case part(HTTPServerRequestPart)
        /// What follows is no HTTP.
        case broken(HTTPRefusal)
    }

    /// How long the client may take to close its side after the last bytes for it have left.
    private static let lingerSeconds: Int64 = 1
    /// A longer answer comes in chunks, as those of Go's server do.
    private static let wholeAnswerMax = 2048

    let remoteAddress: String?
    private var closesAfterAnswer = false
    /// How far it is on the way to becoming a WebSocket.
    var webSocket = WebSocketStage.none
    /// The client waits to be asked for the body of its request.
    private var awaitsContinue = false
    private let service: any HTTPService
    let shared: ServerShared
    private unowned let loop: ServerLoop
    var eventLoop: any EventLoop { loop.context.eventLoop }
    private(set) var context: ChannelHandlerContext?
    private var inner: InnerClient
    private var exchange: HTTPExchange?
    private var handler: (any HTTPRequestHandler)?
    private var isRequestComplete = true
    private var hasRequest = false
    private var inbox: HTTP1Inbox?
    /// Decoded, but not taken.
    private var events = CircularBuffer<Event>()
    /// Bytes that the decoder has got and of which nothing has been taken.
    private var decoderBytes = 0
    private var isTaking = false
    private var isTurnScheduled = false
    private var unwantedBytes = 0
    /// The channel wants to read, and the handler does not.
    private var isReadingHeld = false
    /// Nothing more is taken, and nothing written.
    private var isClosing = false
    private var isGone = false
    private var isShuttingDown = false
    /// When the part of a request began that has not come whole, as of the loop's last sweep; nil while none has begun.
    private var begun: NIODeadline?
    private let openedAt: NIODeadline
    private var bytesReceived = 0
    private var bytesWritten = 0
    /// The largest piece since everything had left.
    private var largestWritten = 0
    /// As counted in the loop's memory.
    private var countedBytes = 0
    private var reading = Pace()
    private var sending = Pace()

    init(service: any HTTPService, loop: ServerLoop, shared: ServerShared, remoteAddress: String?) {
        self.service = service
        self.loop = loop
        self.shared = shared
        self.remoteAddress = remoteAddress
        inner = InnerClient(loop: loop, remoteAddress: remoteAddress)
        openedAt = loop.context.sweptAt
    }

    /// Adds what speaks HTTP/1 to a pipeline, in front of this.
    func install(in channel: any Channel) throws {
        let pipeline = channel.pipeline.syncOperations
        let inbox = HTTP1Inbox { [unowned self] count in
            bytesReceived += count
            takeEvents()
        }
        self.inbox = inbox
        try pipeline.addHandler(inbox)
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderListSize = shared.configuration.headerListSizeMax
        limits.maxHeaderFieldSize = shared.configuration.headerListSizeMax
        // What follows a request for a WebSocket before its answer would be lost: that ends the connection.
        let decoder = HTTPRequestDecoder(leftOverBytesStrategy: .fireError, limitConfiguration: limits)
        try pipeline.addHandlers([
            HTTPResponseEncoder(), ByteToMessageHandler(decoder), NIOHTTPResponseHeadersValidator(), self,
        ])
        // What is read in one go has to be kept when the client is not to send more.
        try channel.syncOptions?.setOption(.maxMessagesPerRead, value: 1)
    }

    // MARK: Requests

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosing else { return }
        events.append(.part(unwrapInboundIn(data)))
        takeEvents()
    }

    /// Takes what has come, as far as it may be taken now. One request after the other, never one from within another:
    /// the stack would grow with each that is answered at once.
    private func takeEvents() {
        guard !isTaking else { return }
        isTaking = true
        while !isClosing, mayTake {
            if let event = events.popFirst() {
                if events.isEmpty { decoderBytes = 0 }
                take(event)
            } else {
                guard let inbox, inbox.count > 0 else { break }
                if begun == nil { begun = loop.context.sweptAt }
                decoderBytes += inbox.feed()
            }
        }
        isTaking = false
        count()
        readIfHeld()
    }

    /// The client may go on with its request, or with the next one.
    private var mayTake: Bool {
        guard webSocket != .switching else { return false }
        guard isRequestComplete else { return handler?.mayRead ?? true }
        return exchange == nil && isWritable
    }

    /// Goes on in another turn of the loop with what waits.
    private func goOn() {
        guard !isTaking, !isTurnScheduled, let context else { return }
        guard hasInput else { return readIfHeld() }
        isTurnScheduled = true
        context.eventLoop.assumeIsolated().execute { [weak self] in
            self?.isTurnScheduled = false
            self?.takeEvents()
        }
    }

    private func take(_ event: Event) {
        switch event {
        case .part(.head(let head)): begin(head)
        case .part(.body(let bytes)): take(bytes)
        case .part(.end): end()
        case .broken(let refusal): refuse(refusal)
        }
    }

    private func begin(_ head: HTTPRequestHead) {
        hasRequest = true
        let target: HTTPTarget
        do throws(HTTPRefusal) {
            target = try HTTPRefusal.check(head)
        } catch {
            shared.faults.note(.brokenHTTP1, from: remoteAddress)
            return refuse(error)
        }
        isRequestComplete = false
        unwantedBytes = 0
        begun = loop.context.sweptAt
        let exchange = HTTPExchange(head, target, carrier: self, remoteAddress: remoteAddress)
        self.exchange = exchange
        if exchange.asksForWebSocket, let headers = service.webSocketHeaders(for: exchange),
            let answer = WebSocketStage.answer(to: head, with: headers, on: context?.channel)
        {
            return webSocket = .accepted(answer)
        }
        awaitsContinue = !exchange.isOldVersion && exchange.hasBody && HTTPRefusal.expectsContinue(head)
        handOver(exchange)
        guard awaitsContinue, !exchange.isEnded else { return }
        awaitsContinue = false
        context?.writeAndFlush(
            wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .continue))), promise: nil)
    }

    private func handOver(_ exchange: HTTPExchange) {
        let handler = service.begin(exchange)
        if !exchange.isEnded { self.handler = handler }
    }

    private func take(_ bytes: ByteBuffer) {
        guard let handler else {
            unwantedBytes += bytes.readableBytes
            if unwantedBytes > HTTPExchange.unwantedBytesMax { closeAfterFlush() }
            return
        }
        if !handler.isMidMessage { begun = loop.context.sweptAt }
        bytes.withUnsafeReadableBytes { handler.onBody($0.bytes) }
    }

    private func end() {
        if case .accepted(let answer) = webSocket { return switchToWebSocket(answer) }
        isRequestComplete = true
        begun = nil
        handler?.onEnd()
        if exchange == nil, closesAfterAnswer { closeAfterFlush() }
    }

    /// The pipeline speaks WebSocket: from here on the client's messages are the body of its request.
    func webSocketIsOpen() {
        guard !isClosing, let exchange else { return }
        webSocket = .open
        begun = loop.context.sweptAt
        exchange.becomesWebSocket()
        handOver(exchange)
        goOn()
    }

    private func refuse(_ refusal: HTTPRefusal) {
        // Else it would be taken for a part of the answer that runs, or for another request's.
        let isOwed = exchange.map { !$0.isStarted } ?? isRequestComplete
        guard isOwed else { return closeAfterFlush() }
        let type = refusal.text.isEmpty ? [] : [("Content-Type", "text/plain; charset=utf-8")]
        let headers = type + [("Content-Length", "\(refusal.text.utf8.count)"), ("Connection", "close")]
        write(.head(HTTPResponseHead(version: .http1_1, status: refusal.status, headers: HTTPHeaders(headers))))
        write(.body(.byteBuffer(ByteBuffer(string: refusal.text))))
        flush(.end(nil))
        closeAfterFlush()
    }

    func read(context: ChannelHandlerContext) {
        if mayReadMore {
            context.read()
        } else {
            isReadingHeld = true
        }
    }

    /// What comes after the last answer is read, and dropped: closing with unread bytes would reset the connection.
    private var mayReadMore: Bool {
        isClosing || (mayTake && !hasInput)
    }

    /// Something that has come waits.
    private var hasInput: Bool { !events.isEmpty || inbox.map { $0.count > 0 } ?? false }

    private func readIfHeld() {
        guard isReadingHeld, mayReadMore else { return }
        isReadingHeld = false
        context?.read()
    }

    func resumeReading() { goOn() }

    func innerClient() throws -> RPCClient? { isClosing ? nil : try inner.connected() }

    // MARK: Answers

    var isWritable: Bool { context?.channel.isWritable ?? true }

    func respond(_ exchange: HTTPExchange, _ head: HTTPAnswerHead, _ body: [UInt8]) {
        var headers = self.headers(head, of: exchange)
        if body.count <= Self.wholeAnswerMax || exchange.isOldVersion || exchange.method == "HEAD" {
            headers.add(name: "Content-Length", value: "\(body.count)")
        }
        write(.head(responseHead(head, headers, exchange)))
        if exchange.method != "HEAD", !body.isEmpty {
            wrote(body.count)
            write(.body(.byteBuffer(ByteBuffer(bytes: body))))
        }
        answered(exchange)
    }

    func respondWithoutPieces(_ exchange: HTTPExchange, _ head: HTTPAnswerHead) {
        start(exchange, head)
        answered(exchange)
    }

    func start(_ exchange: HTTPExchange, _ head: HTTPAnswerHead) {
        if exchange.isOldVersion { closesAfterAnswer = true }
        write(.head(responseHead(head, headers(head, of: exchange), exchange)))
        context?.flush()
    }

    func send(_ bytes: [UInt8]) {
        wrote(bytes.count)
        flush(.body(.byteBuffer(ByteBuffer(bytes: bytes))))
    }

    func finish(_ exchange: HTTPExchange) { answered(exchange) }

    private func answered(_ exchange: HTTPExchange) {
        handler = nil
        self.exchange = nil
        if begun != nil { begun = loop.context.sweptAt }
        if !exchange.isKeepAlive { closesAfterAnswer = true }
        flush(.end(nil))
        // Whether a body comes that was not asked for is for the client to choose: what follows could be either.
        let isOver = isRequestComplete || webSocket == .open
        if isShuttingDown || awaitsContinue || isOver && closesAfterAnswer {
            closeAfterFlush()
        } else {
            goOn()
        }
    }

    private func wrote(_ count: Int) {
        bytesWritten += count
        largestWritten = max(largestWritten, count)
    }

    func write(_ part: HTTPServerResponsePart) { context?.write(wrapOutboundOut(part), promise: nil) }

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
        let isLast = closesAfterAnswer || isShuttingDown || !exchange.isKeepAlive || awaitsContinue
        // Without the header, the end of the connection is what HTTP/1.0 means.
        if isLast != exchange.isOldVersion { headers.add(name: "Connection", value: isLast ? "close" : "keep-alive") }
        return headers
    }

    // MARK: The end

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        count()
        if context.channel.isWritable {
            handler?.onWritable()
            goOn()
        }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? HTTPParserError else { return closeAfterFlush() }
        guard !isClosing else { return }
        shared.faults.note(.brokenHTTP1, from: remoteAddress)
        events.append(.broken(HTTPRefusal(error)))
        takeEvents()
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
        isGone = true
        dropInput()
        abandonRequest()
        inner.close()
        loop.context.buffered(-countedBytes)
        countedBytes = 0
    }

    private func dropInput() {
        inbox?.isWanted = false
        events.removeAll()
        decoderBytes = 0
        begun = nil
    }

    private func abandonRequest() {
        let handler = handler
        self.handler = nil
        exchange?.abandon()
        exchange = nil
        handler?.onGone()
    }

    /// Closes once what has been written has left; the client gets a moment to read it.
    func closeAfterFlush() {
        guard !isClosing, let context else { return }
        isClosing = true
        let channel = context.channel
        dropInput()
        abandonRequest()
        count()
        closeIfStuck(at: bytesLeft)
        channel.close(mode: .output).whenComplete { result in
            switch result {
            case .success:
                channel.eventLoop.scheduleTask(in: .seconds(Self.lingerSeconds)) { channel.close(promise: nil) }
            case .failure: channel.close(promise: nil)
            }
        }
        readIfHeld()
    }

    /// Closes when a client has taken nothing of its last answer for as long as a request may take.
    private func closeIfStuck(at bytes: Int) {
        guard !isGone, let context else { return }
        let time = TimeAmount.nanoseconds(shared.configuration.requestTimeout.nanoseconds)
        context.eventLoop.assumeIsolated().scheduleTask(in: time) { [weak self] in
            guard let self, !isGone else { return }
            let now = bytesLeft
            guard now > bytes else {
                self.context?.close(promise: nil)
                return
            }
            closeIfStuck(at: now)
        }
    }

    // MARK: Limits

    var bufferedBytes: Int { countedBytes }
    /// Bytes that the client has sent and that are kept.
    var bytesOwed: Int { (handler?.heldBytes ?? 0) + decoderBytes + (inbox?.count ?? 0) }
    /// Bytes of answers that have left.
    private var bytesLeft: Int { bytesWritten - unsentBytes }
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
        guard context != nil, !isGone else { return }
        let unsent = unsentBytes
        if unsent == 0 { largestWritten = 0 }
        let most = shared.settings.answerBytesCounted
        let now = bytesOwed + min(unsent, max(most, unsent - max(0, largestWritten - most)))
        guard now != countedBytes else { return }
        loop.context.buffered(now - countedBytes)
        countedBytes = now
    }

    func lookAtPace(at time: NIODeadline) {
        count()
        let spare = shared.configuration.pendingBytesHigh
        let stall = Double(shared.configuration.stallTime.nanoseconds) / 1e9
        let unsent = unsentBytes
        reading.look(held: unsent, spare: spare, moved: bytesLeft, at: time, stallSeconds: stall)
        sending.look(held: handler?.heldBytes ?? 0, spare: spare, moved: bytesReceived, at: time, stallSeconds: stall)
    }

    func forgetPace() {
        reading = Pace()
        sending = Pace()
    }

    func cutOff(_ fault: ClientFault) {
        guard !isGone else { return }
        shared.faults.note(fault, from: remoteAddress)
        context?.close(promise: nil)
    }

    func sweep(handshakes: NIODeadline, requests: NIODeadline) {
        guard !isClosing else { return }
        if !hasRequest, openedAt < handshakes { return cutOff(.noHandshake) }
        // What is not read of a client is not late.
        if begun != nil, !mayReadMore { begun = loop.context.sweptAt }
        guard let begun, begun < requests else { return }
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
