import CNGHTTP2
import NIOCore
import NIOHTTP1

/// What an HTTP/2 connection needs for requests that are no gRPC.
struct WebFront {
    let service: any HTTPService
    unowned let loop: ServerLoop
}

/// A request over HTTP/2 that is no gRPC, and its answer: for the `HTTPService`, as those over HTTP/1 are. Confined to the
/// event loop; its call, on whose stream it is, outlives it.
final class WebStream: HTTPCarrier {
    /// A longer answer leaves without its length, as those of Go's server do.
    private static let wholeAnswerMax = 4096

    private let front: WebFront
    var eventLoop: any EventLoop { front.loop.context.eventLoop }
    private unowned(unsafe) let call: ServerCall
    private unowned(unsafe) let server: ServerConnection
    private var fields: [(String, String)] = []
    private var exchange: HTTPExchange?
    private var handler: (any HTTPRequestHandler)?
    /// A request that has come, as far as it has, and is not handed over yet.
    private var waiting: (method: String, path: String, body: [UInt8], isComplete: Bool)?
    /// The service has it, and no answer has begun.
    private var isRunning = false
    private var unwantedBytes = 0
    /// The end of the answer has left, and that of the request has not come.
    private(set) var answerIsOut = false

    init(_ front: WebFront, _ call: ServerCall, _ server: ServerConnection) {
        self.front = front
        self.call = call
        self.server = server
    }

    // MARK: The request

    /// Takes a header field.
    /// - Returns: Bytes that it is kept with, its place in the list included.
    func header(_ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>) -> Int {
        guard name.first != UInt8(ascii: ":") else { return 0 }
        fields.append((String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self)))
        return name.count + value.count + ServerCall.fieldOverhead
    }

    /// The head has come whole: the request is handed over, or waits for its turn.
    func begin(_ method: String, _ path: String, endsStream: Bool) {
        guard server.webMustWait else { return start(method, path, endsStream: endsStream) }
        waiting = (method, path, [], endsStream)
        // Of its body one window more can come.
        call.applyReading(false)
        server.parkWeb(call)
    }

    /// Hands over a request that has waited.
    func handle() {
        guard let request = waiting else { return }
        waiting = nil
        start(request.method, request.path, endsStream: false)
        request.body.withUnsafeBytes { if !$0.isEmpty { received($0) } }
        if request.isComplete { ended() } else { resumeReading() }
    }

    private func start(_ method: String, _ path: String, endsStream: Bool) {
        guard let target = HTTPTarget(path, method: method) else {
            call.reset(NGHTTP2_PROTOCOL_ERROR)
            return server.askedForNothing()
        }
        let head = HTTPRequestHead(
            version: .http2, method: HTTPMethod(rawValue: method), uri: path, headers: HTTPHeaders(fields))
        fields = []
        let exchange = HTTPExchange(head, target, carrier: self, remoteAddress: server.remoteAddress)
        self.exchange = exchange
        isRunning = true
        server.webRunning += 1
        let handler = front.service.begin(exchange)
        guard !exchange.isEnded else { return }
        self.handler = handler
        if endsStream {
            handler.onEnd()
        } else if HTTPRefusal.expectsContinue(head) {
            call.sendContinue()
        }
    }

    /// Another request may have its turn.
    private func hasRun() {
        guard isRunning else { return }
        isRunning = false
        server.webRunning -= 1
        server.lookForRoom()
    }

    /// Bytes of the body have come.
    func received(_ chunk: UnsafeRawBufferPointer) {
        if waiting != nil {
            waiting?.body.append(contentsOf: chunk)
            return
        }
        guard let handler else { return }
        handler.onBody(chunk.bytes)
        if !call.hasEnded, !handler.mayRead { call.applyReading(false) }
    }

    /// Bytes of a body have come that nobody wants.
    /// - Returns: Whether they are too many.
    func takeUnwanted(_ count: Int) -> Bool {
        unwantedBytes += count
        return unwantedBytes > HTTPExchange.unwantedBytesMax
    }

    /// The end of the answer has left.
    /// - Returns: Whether too much of a body has come that nobody wants.
    func answerHasLeft() -> Bool {
        answerIsOut = true
        return unwantedBytes > HTTPExchange.unwantedBytesMax
    }

    /// The client was told that nobody waits for the rest of its request.
    func restIsRefused() { answerIsOut = false }

    /// Nothing is under way: the client may send a message, or not.
    var isIdle: Bool { isRunning && !isMidMessage }

    /// The body has come whole.
    func ended() {
        if waiting != nil { waiting?.isComplete = true } else { handler?.onEnd() }
    }

    /// Bytes of the body that are kept.
    var heldBytes: Int { handler?.heldBytes ?? waiting?.body.count ?? 0 }

    /// The client is to send more before what has come is of use.
    var isMidMessage: Bool { handler?.isMidMessage ?? false }

    /// More of the answer can be sent.
    func becameWritable() { handler?.onWritable() }

    /// The client is gone, or is to hear nothing more.
    func abandon() {
        let handler = handler
        self.handler = nil
        exchange?.abandon()
        exchange = nil
        waiting = nil
        handler?.onGone()
        hasRun()
    }

    func resumeReading() {
        guard handler?.mayRead == true else { return }
        call.webReads()
    }

    func innerClient() throws -> RPCClient? { try server.innerClient?.connected() }

    // MARK: The answer

    var isWritable: Bool { call.isWritable }

    func respond(_ exchange: HTTPExchange, _ head: HTTPAnswerHead, _ body: [UInt8]) {
        let isShown = exchange.method != "HEAD"
        let length = body.count <= Self.wholeAnswerMax || !isShown ? body.count : nil
        forget()
        hasRun()
        call.sendHead(fields(of: head, length: length), hasBody: isShown && !body.isEmpty)
        if isShown, !body.isEmpty { call.sendBody(body) }
        call.endWeb()
    }

    func respondWithoutPieces(_ exchange: HTTPExchange, _ head: HTTPAnswerHead) { respond(exchange, head, []) }

    func start(_ exchange: HTTPExchange, _ head: HTTPAnswerHead) {
        hasRun()
        call.sendHead(fields(of: head, length: nil), hasBody: true)
    }

    func send(_ bytes: [UInt8]) { call.sendBody(bytes) }

    func finish(_ exchange: HTTPExchange) {
        forget()
        call.endWeb()
    }

    private func forget() {
        handler = nil
        exchange = nil
    }

    private func fields(of head: HTTPAnswerHead, length: Int?) -> HeaderFields {
        var fields = HeaderFields()
        fields.append(":status", "\(head.status)")
        for (name, value) in head.headers { fields.append(name.lowercased(), value) }
        fields.append("date", front.loop.httpDate())
        if let length { fields.append("content-length", "\(length)") }
        return fields
    }
}
