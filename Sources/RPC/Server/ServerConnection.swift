import CNGHTTP2
import NIOCore

/// The server's side of a connection.
final class ServerConnection: HTTP2Connection, BoundedConnection, @unchecked Sendable {
    /// Marks the ping whose answer says that the client has seen our GOAWAY.
    private static let shutdownPing: [UInt8] = Array("t4-close".utf8)

    let shared: ServerShared
    let remoteAddress: String?
    /// In the client's certificate; nil where none was asked for.
    let commonName: [UInt8]?
    /// For requests that are no gRPC; nil where there is nobody for them.
    let web: WebFront?
    /// Through which they call the services; nil once the connection is gone.
    var innerClient: InnerClient?
    /// What handlers keep here, see `ServerCall.connectionValue`.
    var handlerValue: AnyObject?
    /// The call whose header block is being read; header blocks do not overlap.
    var headerCall: ServerCall?
    /// Payload length and flags of the frame that is being read.
    var frameLength = 0
    /// Bytes of requests that are not complete yet, of those that wait, and of metadata.
    var requestBytesHeld = 0
    /// As many of them as are metadata.
    var metadataBytesHeld = 0
    /// The client's SETTINGS have come.
    var hasHandshake = false
    /// As of the loop's last sweep.
    let openedAt: NIODeadline
    var parked = ParkedCalls()
    /// Requests that are no gRPC, in turn behind those that run.
    var parkedWeb = ParkedCalls()
    /// Such requests that the service has and has not begun to answer.
    var webRunning = 0
    var uselessFrames: Allowance
    /// Frames that wait in nghttp2, as counted in the loop's memory.
    var framesCounted = 0
    /// Bytes that have ever been received.
    var bytesReceived = 0
    /// How fast the client reads, and sends what it has begun to send.
    var reading = Pace()
    var sending = Pace()
    private var pingPolicy = PingPolicy()
    private var isShuttingDown = false
    private var isShutdownPingSent = false
    private var isFinalGoAwaySent = false

    init(
        loop: LoopContext, shared: ServerShared, remoteAddress: String?, commonName: [UInt8]? = nil,
        web: WebFront? = nil
    ) {
        self.shared = shared
        self.remoteAddress = remoteAddress
        self.commonName = commonName
        self.web = web
        innerClient = web.map { InnerClient(loop: $0.loop, remoteAddress: remoteAddress) }
        openedAt = loop.sweptAt
        uselessFrames = Allowance(
            burst: shared.configuration.uselessFramesBurst, perSecond: shared.configuration.uselessFramesPerSecond)
        super.init(loop: loop, settings: shared.settings)
    }

    override func makeSession() -> OpaquePointer? {
        SessionSupport.makeSession(isServer: true, callbacks: ServerCallbacks.all, connection: self)
    }

    override func connectionLost(_ call: RPCCall) {
        Self.serverCall(call).gone(.connectionLost)
    }

    /// Every call of a server's connection is a `ServerCall`.
    @inline(__always)
    static func serverCall(_ call: RPCCall) -> ServerCall { unsafeDowncast(call, to: ServerCall.self) }

    @inline(__always)
    func serverCall(ofStream streamID: Int32) -> ServerCall? {
        call(ofStream: streamID).map(Self.serverCall)
    }

    /// An answer, or a part of one, was handed to nghttp2.
    func sentSomething() {
        pingPolicy.sentSomething()
        setNeedsDrain()
    }

    /// Clients measure the bandwidth with pings while a large answer arrives: each DATA frame allows one, as in grpc-go.
    override func dataLeaves(_ count: Int) {
        pingPolicy.sentSomething()
    }

    override func willReceive() { loop.readAt = .now() }

    override func received(_ count: Int) { tookBytes(count) }

    override func drained() { countFrames() }

    override func useRoom() -> Bool { handleParked() }

    override var waitsForRoom: Bool { !parked.isEmpty || !parkedWeb.isEmpty }

    override func protocolBroken() { shared.faults.note(.brokenHTTP2, from: remoteAddress) }

    override func connectionGone() {
        // A call that is kept here keeps the connection.
        headerCall = nil
        innerClient = nil
        parked.removeAll()
        parkedWeb.removeAll()
        countFrames()
    }

    // MARK: Requests

    func beginCall(_ streamID: Int32) {
        guard let session else { return }
        let call = ServerCall(server: self, streamID: streamID)
        add(call)
        nghttp2_session_set_stream_user_data(session, streamID, Unmanaged.passUnretained(call).toOpaque())
        headerCall = call
        LoopCounters.add(1, to: loop.counters.callsStarted)
        LoopCounters.add(1, to: loop.counters.streamsOpen)
        let streamsMax = shared.configuration.openStreamsMax
        if loop.openStreams.areOver(streamsMax, own: loop.counters, all: shared.counters) {
            call.problem = .tooManyStreams
        }
        loop.callBegan(on: self)
    }

    func headersComplete(_ call: ServerCall, endsStream: Bool) {
        call.remoteEnded = endsStream
        if let web {
            guard call.saysGRPC else { return beginWeb(call, web, endsStream: endsStream) }
            call.web = nil
        }
        if let timeout = call.timeout {
            let now = NIODeadline.now()
            loop.deadlines.insert(call, of: loop, deadline: now + .nanoseconds(timeout), now: now)
        }
        guard let method = accept(call) else { return }
        call.begin(method)
        if endsStream { call.receivedEnd() }
    }

    /// What the headers of gRPC mean has no meaning here.
    private func beginWeb(_ call: ServerCall, _ web: WebFront, endsStream: Bool) {
        switch call.problem {
        case nil, .timeout, .encoding: break
        case .tooLarge:
            call.reset(NGHTTP2_ENHANCE_YOUR_CALM)
            return askedForNothing()
        case .tooManyStreams:
            shared.faults.note(.tooManyStreams, from: remoteAddress)
            return call.reset(NGHTTP2_REFUSED_STREAM)
        }
        guard requestBytesHeld <= shared.configuration.requestBytesMax else {
            shared.faults.note(.tooManyIncomplete, from: remoteAddress)
            call.reset(NGHTTP2_ENHANCE_YOUR_CALM)
            return askedForNothing()
        }
        call.beginWeb(web, endsStream: endsStream)
    }

    /// The method if the headers are those of a call we serve; otherwise the call has been answered.
    private func accept(_ call: ServerCall) -> ServerMethod? {
        switch call.problem {
        case nil: break
        case .tooLarge:
            call.reset(NGHTTP2_ENHANCE_YOUR_CALM)
            askedForNothing()
            return nil
        case .tooManyStreams:
            shared.faults.note(.tooManyStreams, from: remoteAddress)
            call.end(nil, RPCStatus(.resourceExhausted, ClientFault.tooManyStreams.text))
            return nil
        case .timeout(let text):
            call.reject(httpStatus: 400, RPCStatus(.internal, "malformed grpc-timeout: \(text)"))
            return nil
        case .encoding(let name):
            let text = "grpc: Decompressor is not installed for grpc-encoding \"\(name)\""
            call.end(nil, RPCStatus(.unimplemented, text))
            return nil
        }
        guard call.isPost else {
            let text =
                "http2Server.operateHeaders parsed a :method field: \(call.requestMethod ?? "") which should be POST"
            call.reject(httpStatus: 405, RPCStatus(.internal, text))
            return nil
        }
        guard call.hasGRPCContentType else {
            let text = "invalid gRPC request content-type \"\(call.contentType ?? "")\""
            call.reject(httpStatus: 415, RPCStatus(.invalidArgument, text))
            return nil
        }
        guard let method = call.method else {
            call.end(nil, shared.routes.unknown(call.path))
            return nil
        }
        if isShuttingDown, case .stream = method.kind {
            call.end(nil, shared.configuration.shutdownStatus)
            return nil
        }
        guard requestBytesHeld <= shared.configuration.requestBytesMax else {
            shared.faults.note(.tooManyIncomplete, from: remoteAddress)
            call.end(nil, RPCStatus(.resourceExhausted, ClientFault.tooManyIncomplete.text))
            return nil
        }
        return method
    }

    func data(_ call: ServerCall?, streamID: Int32, chunk: UnsafeRawBufferPointer, endsStream: Bool) {
        guard let session else { return }
        if let call, !call.hasEnded {
            // The usual request: one frame, one message, the end. It is lent to the handler where it lies.
            if endsStream, frameLength == chunk.count, case .unary(let handle) = call.method?.kind,
                call.hasNoRequest, !mustWait,
                let message = MessageAssembler.wholeMessage(in: chunk, limit: shared.configuration.messageSizeMax)
            {
                call.remoteEnded = true
                call.requestSize = message.count
                handle(call, message.bytes)
            } else {
                call.received(chunk)
            }
        } else if let call, let web = call.web, web.takeUnwanted(chunk.count) {
            if web.answerIsOut { call.refuseRest() } else { call.applyReading(false) }
        }
        SessionSupport.consume(chunk.count, of: call, streamID: streamID, session: session)
    }

    func dataEnded(_ call: ServerCall) {
        guard !call.remoteEnded else { return }
        call.remoteEnded = true
        call.receivedEnd()
    }

    /// The end of an answer has left: a client that still sends is told that nobody reads it. Not earlier, because
    /// nghttp2 sends nothing more on a stream once its reset is queued.
    func answerSent(_ streamID: Int32) {
        guard let call = serverCall(ofStream: streamID), !call.remoteEnded else { return }
        if let web = call.web {
            call.noteBegin()
            guard web.answerHasLeft() || isShuttingDown else { return }
        }
        call.refuseRest()
    }

    func streamClosed(_ call: ServerCall, code: UInt32) {
        if headerCall === call { headerCall = nil }
        remove(call)
        call.gone(.reset(code: code))
    }

    // MARK: Pings

    func pinged() {
        let verdict = pingPolicy.pinged(
            at: NIODeadline.now(), intervalMin: shared.pingIntervalMin, strikesMax: shared.configuration.pingStrikesMax,
            mayPing: !calls.isEmpty || shared.configuration.permitsPingsWithoutCalls)
        guard !verdict, let session else { return }
        let text = Array("too_many_pings".utf8)
        nghttp2_submit_goaway(
            session, SessionSupport.noFlags, nghttp2_session_get_last_proc_stream_id(session),
            NGHTTP2_ENHANCE_YOUR_CALM.rawValue, text, text.count)
        closesAfterDrain = true
    }

    func pingAnswered(_ payload: UnsafeRawBufferPointer) {
        pingAcknowledged()
        if isShuttingDown, payload.elementsEqual(Self.shutdownPing) { sendFinalGoAway() }
    }

    // MARK: Shutdown

    /// Tells the client to open no more streams, ends streaming calls, and closes when the last call has ended.
    func beginShutdown() {
        guard !isShuttingDown else { return }
        isShuttingDown = true
        guard let session else { return close() }
        // Two steps, so that calls that cross the first notice are still served.
        nghttp2_submit_shutdown_notice(session)
        let time = TimeAmount.nanoseconds(shared.configuration.shutdownNoticeTime.nanoseconds)
        loop.eventLoop.scheduleTask(in: time) { [weak self] in self?.sendFinalGoAway() }
        for call in calls {
            let call = Self.serverCall(call)
            if case .stream = call.method?.kind { call.cancel(.shutdown, shared.configuration.shutdownStatus) }
            // The rest of a request may never come.
            guard let web = call.web, !call.remoteEnded else { continue }
            if web.answerIsOut {
                call.refuseRest()
            } else if web.isIdle {
                call.cancelWeb(web, NGHTTP2_CANCEL, .unavailable)
            }
        }
        drain()
    }

    /// A GOAWAY has left; behind the first one goes a ping. Queued together with it, the ping would overtake it.
    func goAwaySent() {
        guard isShuttingDown, !isShutdownPingSent, let session else { return }
        isShutdownPingSent = true
        nghttp2_submit_ping(session, SessionSupport.noFlags, Self.shutdownPing)
    }

    private func sendFinalGoAway() {
        guard !isFinalGoAwaySent, let session else { return }
        isFinalGoAwaySent = true
        nghttp2_submit_goaway(
            session, SessionSupport.noFlags, nghttp2_session_get_last_proc_stream_id(session),
            NGHTTP2_NO_ERROR.rawValue,
            nil, 0)
        setNeedsDrain()
    }
}
