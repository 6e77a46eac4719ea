import CNGHTTP2
import NIOCore
import Synchronization

/// One call on a server, unary or streaming; the means to answer it.
///
/// Answers may come from any thread. For many at a time from another thread, as after a group commit, use `ReplyBatch`.
public final class ServerCall: RPCCall, @unchecked Sendable {
    // Unchecked as its superclass: what is not atomic or constant is touched on the connection's event loop only,
    // except for metadata and deadline, which do not change once the handler has the call.

    /// What is wrong with a request's headers; answered when they are complete.
    enum HeaderProblem {
        case timeout(String)
        case encoding(String)
        case tooLarge
        case tooManyStreams
    }

    unowned(unsafe) let server: ServerConnection
    private let isAnswered = Atomic<Bool>(false)

    // Confined to the loop.
    var method: ServerMethod?
    var unknownPath: String?
    var requestMethod: String?
    var contentType: String?
    var isPost = false
    var hasGRPCContentType = false
    /// The request is no gRPC, or may be none: this takes it.
    var web: WebStream?
    var headerBytes = 0
    var timeout: Int64?
    var problem: HeaderProblem?
    private(set) var metadataValues: [(key: Int, value: [UInt8])] = []
    private(set) var handler: (any ServerStreamHandler)?
    /// The one message of a unary call, when it came in pieces.
    private var request: [UInt8]?
    /// Bytes of the message of a unary call, once it has come whole.
    var requestSize = 0
    /// Bytes held for this call in `assembler`, `request` and `metadataValues`, as counted by the connection.
    private var heldBytes = 0
    private var metadataBytes = 0
    /// When the part of the request began that has not come whole, as of the loop's last sweep.
    private var begun: NIODeadline
    private var headersSent = false
    /// The handler has, or had, the call.
    private var hasBegun = false
    /// When what the headers ended with was read.
    private var arrived = NIODeadline.uptimeNanoseconds(0)
    /// Two numbers that the handler of a unary call leaves for whoever hears that it took long; their meaning is the handler's.
    package var remark = (0, 0)
    private var status = RPCStatus.ok

    init(server: ServerConnection, streamID: Int32) {
        self.server = server
        begun = server.loop.sweptAt
        super.init(connection: server, streamID: streamID)
    }

    // MARK: About the request

    /// The path, as `/etcdserverpb.KV/Range`.
    public var path: String { method?.path ?? unknownPath ?? "" }

    /// A metadata value of the request; the last one where there are several.
    /// - Parameter key: One of the configuration's `metadataKeys`; for others the answer is nil.
    public func metadata(_ key: String) -> String? {
        guard !metadataValues.isEmpty, let index = server.shared.metadataKeys.index(of: key) else { return nil }
        return metadataValues.last { $0.key == index }.map { String(decoding: $0.value, as: UTF8.self) }
    }

    /// The raw bytes of such a value: `metadata` repairs what is not UTF-8.
    public func metadataBytes(_ key: String) -> [UInt8]? {
        guard !metadataValues.isEmpty, let index = server.shared.metadataKeys.index(of: key) else { return nil }
        return metadataValues.last { $0.key == index }?.value
    }

    /// The time the client still waits; nil if it set no limit. Negative once it has passed.
    public var timeRemaining: Duration? {
        guard timeout != nil else { return nil }
        return .nanoseconds((deadline - NIODeadline.now()).nanoseconds)
    }

    /// What the handlers of a connection keep with it from call to call. Only on the event loop: inside handlers of unary
    /// calls, and of what happens to streams.
    public var connectionValue: AnyObject? {
        get { server.handlerValue }
        set { server.handlerValue = newValue }
    }

    /// The client's address as `1.2.3.4:567`; nil if the transport has none.
    public var remoteAddress: String? { server.remoteAddress }

    /// The common name in the client's certificate, which a CA of the server has signed; empty for a certificate without,
    /// nil where the server asks for none.
    public var clientCommonName: [UInt8]? { server.commonName }

    /// Whether nobody else seems to use the event loop: the call is the only one on its connection, and so were some
    /// before it, from the same client. A handler may then keep the loop for a short while. Only inside the handler.
    public var isAlone: Bool { server.calls.count == 1 && loop.callsInARow > ServerCall.aloneCount }

    private static let aloneCount = 16

    // MARK: Answering

    /// Answers a unary call with success.
    public func respond(_ message: [UInt8]) { answer(message, .ok) }

    /// Answers a unary call with an error.
    public func fail(_ status: RPCStatus) { answer(nil, status) }

    /// Ends a streaming call after what has been sent; `RPCStatus.ok` for success.
    public func finish(_ status: RPCStatus = .ok) { answer(nil, status) }

    /// Has `onWake` of the call's handler called on the event loop; never from inside this call.
    public func wake() { if !isClosed { loop.post(self, .wake) } }

    /// Ends a streaming call in place of its handler, which hears `onCancel`; from any thread. After the end it does nothing.
    public func abandon(_ status: RPCStatus) { onLoop { self.cancel(.abandoned(status), status) } }

    /// Runs `body` on the event loop, at once if this is it; not at all where the call has ended by then.
    public func onLoop(_ body: @escaping @Sendable () -> Void) {
        if loop.eventLoop.inEventLoop {
            perform(.run(body))
        } else if !isClosed {
            loop.post(self, .run(body))
        }
    }

    private func answer(_ message: [UInt8]?, _ status: RPCStatus) {
        guard claimAnswer() else { return }
        if loop.eventLoop.inEventLoop {
            end(message, status)
        } else if !isClosed {
            loop.post(self, .finish(message, status))
        }
    }

    /// True for the first answer of the handler.
    func claimAnswer() -> Bool {
        let first = !isAnswered.exchange(true, ordering: .relaxed)
        assert(first, "a call was answered twice: \(path)")
        return first
    }

    // MARK: On the loop

    override func perform(_ work: CallWork) {
        switch work {
        case .send(let message):
            guard !hasEnded else { return }
            enqueue(message)
            startResponse()
            resumeIfDeferred()
            server.sentSomething()
        case .finish(let message, let status): end(message, status)
        case .cancel: reset(NGHTTP2_CANCEL)
        case .setReading(let reading):
            // The client could not go on before.
            if reading, isReadingPaused { noteBegin() }
            applyReading(reading)
        case .wake: handler?.onWake()
        case .run(let body): if !hasEnded { body() }
        case .halfClose, .start: preconditionFailure("work of the client's side")
        }
    }

    func addMetadata(_ key: Int, _ value: UnsafeBufferPointer<UInt8>) {
        metadataValues.append((key, Array(value)))
        keeps(metadata: value.count)
    }

    /// Counts so many more bytes of headers.
    func keeps(metadata count: Int) {
        metadataBytes += count
        server.metadataBytesHeld += count
        updateHeldBytes()
    }

    /// Answers; what comes later for the call is ignored.
    func end(_ message: [UInt8]?, _ status: RPCStatus) {
        guard !hasEnded, let session = server.session else { return }
        ended(status.code, answerSize: message?.count ?? 0)
        if !status.isOK { LoopCounters.add(1, to: loop.counters.callsFailed) }
        self.status = status
        outboundEnded = true
        if let message { enqueue(message) }
        if headersSent {
            resumeIfDeferred()
        } else if message == nil, outbound.byteCount == 0 {
            headersSent = true
            ResponseHeaders.submitTrailersOnly(status, httpStatus: 200, call: self, session: session)
        } else {
            startResponse()
        }
        server.sentSomething()
    }

    /// Answers a request whose headers are not those of a gRPC call.
    func reject(httpStatus: Int, _ status: RPCStatus) {
        guard !hasEnded, let session = server.session else { return }
        ended(status.code)
        LoopCounters.add(1, to: loop.counters.callsFailed)
        headersSent = true
        outboundEnded = true
        ResponseHeaders.submitTrailersOnly(status, httpStatus: httpStatus, call: self, session: session)
        server.sentSomething()
    }

    private func startResponse() {
        guard !headersSent, let session = server.session else { return }
        headersSent = true
        var provider = SessionSupport.dataProvider(for: self)
        let fields = ResponseHeaders.ok.fields
        nghttp2_submit_response(session, streamID, fields.baseAddress, fields.count, &provider)
    }

    func ended(_ code: RPCStatus.Code, answerSize: Int = 0) {
        hasEnded = true
        if hasBegun, let method { count(method, code, answerSize) }
        handler = nil
        request = nil
        assembler.reset()
        // What the client does not read may keep the call for long: it keeps nothing more than its metadata, which
        // other threads may be reading.
        unknownPath = nil
        requestMethod = nil
        contentType = nil
        updateHeldBytes()
        loop.deadlines.remove(self)
        closed.store(true, ordering: .releasing)
        LoopCounters.add(1, to: loop.counters.callsEnded)
    }

    private func count(_ method: ServerMethod, _ code: RPCStatus.Code, _ answerSize: Int) {
        let time = (NIODeadline.now() - arrived).nanoseconds
        loop.calls.ended(method, code, after: time)
        guard case .unary = method.kind, let slowCalls = server.shared.configuration.slowCalls, slowCalls.isSlow(time)
        else { return }
        slowCalls.tell(
            SlowCall(
                path: method.path, time: .nanoseconds(time), code: code, requestSize: requestSize,
                responseSize: answerSize, remark: remark, client: remoteAddress))
    }

    /// The answer is complete, and the request is not: nobody wants the rest.
    func refuseRest() {
        web?.restIsRefused()
        guard let session = server.session else { return }
        nghttp2_submit_rst_stream(session, SessionSupport.noFlags, streamID, NGHTTP2_NO_ERROR.rawValue)
        server.setNeedsDrain()
    }

    /// Ends the call without a status: the stream is in no state to carry one.
    func reset(_ code: nghttp2_error_code, _ status: RPCStatus.Code = .cancelled) {
        if !hasEnded { ended(status) }
        dropOutbound()
        guard let session = server.session else { return }
        nghttp2_submit_rst_stream(session, SessionSupport.noFlags, streamID, code.rawValue)
        server.setNeedsDrain()
    }

    /// Takes the call from its handler and tells the client why, if it can still be told.
    func cancel(_ reason: CancelReason, _ status: RPCStatus) {
        guard !hasEnded else { return }
        if let web { return cancelWeb(web, NGHTTP2_CANCEL, status.code) }
        let handler = handler
        handler?.onCancel(reason)
        guard !hasEnded else { return }
        if outbound.byteCount > 0, reason != .shutdown {
            // The client does not read; a status behind the queue would not reach it.
            reset(NGHTTP2_CANCEL, status.code)
        } else {
            end(nil, status)
        }
    }

    /// The stream or the connection is gone; the call is no longer in `calls`.
    func gone(_ reason: CancelReason) {
        LoopCounters.add(-1, to: loop.counters.streamsOpen)
        server.metadataBytesHeld -= metadataBytes
        metadataBytes = 0
        guard !hasEnded else { return updateHeldBytes() }
        let handler = handler
        web?.abandon()
        ended(.cancelled)
        handler?.onCancel(reason)
    }

    /// The request did not come in time.
    func overdue() {
        if hasEnded { return refuseRest() }
        let status = RPCStatus(.deadlineExceeded, ClientFault.slowRequest.text)
        cancel(.violation(status), status)
    }

    override func deadlineExpired() {
        cancel(.deadline, RPCStatus(.deadlineExceeded, "context deadline exceeded"))
    }

    override func becameWritable() {
        handler?.onWritable()
        web?.becameWritable()
    }

    override var endsWithTrailers: Bool { outbound.isFramed }

    override func submitTrailers(_ session: OpaquePointer) -> Bool {
        ResponseHeaders.submitTrailers(status, call: self, session: session)
    }

    // MARK: The request arrives; on the loop

    /// What is held of the body.
    var bodyBytesHeld: Int { heldBytes - metadataBytes }

    /// Nothing of the body has come yet.
    var hasNoRequest: Bool { request == nil && assembler.isAtBoundary }

    /// The headers are in order: makes the handler of a streaming call.
    func begin(_ method: ServerMethod) {
        hasBegun = true
        arrived = loop.readAt
        loop.calls.began(method)
        guard case .stream(let makeHandler) = method.kind else { return }
        countsPending = true
        let made = makeHandler(self)
        if !hasEnded { handler = made }
    }

    /// Bytes of the body have come.
    func received(_ chunk: UnsafeRawBufferPointer) {
        guard !hasEnded else { return }
        if let web { return receivedForWeb(chunk, web) }
        if assembler.isAtBoundary, request == nil, handler != nil { noteBegin() }
        do throws(MessageAssembler.Problem) {
            try assemble(chunk, limit: server.shared.configuration.messageSizeMax) { message in
                if let handler {
                    noteBegin()
                    handler.onMessage(message)
                } else if request == nil {
                    request = message.withUnsafeBytes { Array($0) }
                } else {
                    violation(.internal, Self.tooManyMessages)
                }
            }
        } catch {
            switch error {
            case .tooLarge(let length, let limit):
                violation(.resourceExhausted, "grpc: received message larger than max (\(length) vs. \(limit))")
            case .compressed:
                violation(.internal, "grpc: compressed flag set with identity or empty encoding")
            case .badFlag(let flag):
                violation(.internal, "grpc: received unexpected payload format \(flag)")
            }
        }
        updateHeldBytes()
        if !hasEnded, server.requestBytesHeld > server.shared.configuration.requestBytesMax {
            server.shared.faults.note(.tooManyIncomplete, from: remoteAddress)
            violation(.resourceExhausted, ClientFault.tooManyIncomplete.text)
        }
    }

    /// The client has ended its side.
    func receivedEnd() {
        guard !hasEnded else { return }
        if let web {
            web.ended()
            return updateHeldBytes()
        }
        guard let method else { return }
        guard assembler.isAtBoundary else { return violation(.internal, "unexpected EOF") }
        switch method.kind {
        case .stream: handler?.onHalfClose()
        case .unary:
            guard request != nil else { return violation(.internal, Self.noMessage) }
            if server.mustWait {
                server.park(self)
            } else {
                handle()
            }
        }
    }

    /// Hands the request of a unary call, which has come whole, to its handler.
    func handle() {
        if let web, !hasEnded {
            noteBegin()
            web.handle()
            return updateHeldBytes()
        }
        guard !hasEnded, case .unary(let handle) = method?.kind, let message = request else { return }
        request = nil
        requestSize = message.count
        updateHeldBytes()
        message.withUnsafeBytes { handle(self, $0.bytes) }
    }

    /// Something of the request is on its way for longer than it may be.
    func isOverdue(since time: NIODeadline) -> Bool {
        guard !remoteEnded, begun < time else { return false }
        if let web, server.headerCall !== self {
            return hasEnded ? web.answerIsOut : web.isMidMessage && !isReadingPaused
        }
        guard !hasEnded else { return false }
        if case .stream = method?.kind { return !assembler.isAtBoundary && !isReadingPaused }
        return true
    }

    /// Ends the call for what its client did: the handler hears of it, and what waits is dropped.
    func cutOff() {
        guard !hasEnded else { return reset(NGHTTP2_ENHANCE_YOUR_CALM) }
        if let web { return cancelWeb(web, NGHTTP2_ENHANCE_YOUR_CALM, .cancelled) }
        let handler = handler
        handler?.onCancel(.connectionLost)
        reset(NGHTTP2_ENHANCE_YOUR_CALM)
    }

    private func violation(_ code: RPCStatus.Code, _ text: String) {
        let status = RPCStatus(code, text)
        cancel(.violation(status), status)
    }

    /// What is read now began in this moment.
    func noteBegin() { begun = loop.sweptAt }

    func updateHeldBytes() {
        let now = assembler.partial.count + (request?.count ?? 0) + metadataBytes + (web?.heldBytes ?? 0)
        guard now != heldBytes else { return }
        server.requestBytesHeld += now - heldBytes
        loop.buffered(now - heldBytes)
        heldBytes = now
    }

    private static let tooManyMessages =
        "cardinality violation: received multiple request messages for non-client-streaming RPC"
    private static let noMessage =
        "cardinality violation: received no request message from non-client-streaming RPC"
}
