import RPC

/// A call with one message each way.
final class GatewayUnary: HTTPRequestHandler, @unchecked Sendable {
    // Unchecked: touched on the connection's event loop only, where the answer of the call comes too.

    private let exchange: HTTPExchange
    private let call: GatewayCall
    private var body: [UInt8] = []
    /// Of a request that has no end.
    private var scanner = JSONScanner()
    private var running: ClientCall?

    init(_ exchange: HTTPExchange, _ call: GatewayCall) {
        self.exchange = exchange
        self.call = call
    }

    var heldBytes: Int { body.count }
    var mayRead: Bool { true }
    var isMidMessage: Bool { running == nil }

    func onBody(_ bytes: RawSpan) {
        guard !exchange.isEnded, running == nil else { return }
        guard body.count + bytes.byteCount <= call.bodySizeMax else {
            body = []
            return exchange.fail(call.tooLarge)
        }
        bytes.withUnsafeBytes { body.append(contentsOf: $0) }
        guard exchange.isWebSocket else { return }
        for byte in body.suffix(bytes.byteCount) {
            if case .goesOn = scanner.feed(byte) { continue }
            return onEnd()
        }
    }

    func onEnd() {
        guard !exchange.isEnded, running == nil else { return }
        let text = body
        body = []
        do {
            let message = try text.withUnsafeBufferPointer { try GatewayRequest.first(of: $0, call.route.request) }
            guard !call.options.isOverdue else { return exchange.fail(GatewayCall.overdue) }
            guard let client = try exchange.makeClient() else { return }
            running = client.start(
                client.method(call.route.path), message, timeout: call.options.timeout, metadata: call.options.metadata
            ) { [self] result in answer(result) }
        } catch let failure as JSONFailure {
            exchange.fail(RPCStatus(.invalidArgument, failure.text))
        } catch {
            exchange.fail(RPCStatus(.unavailable, "t4: no connection to the services: \(error)"))
        }
    }

    private func answer(_ result: Result<[UInt8], RPCStatus>) {
        do {
            let message = try result.get()
            var text: [UInt8] = []
            text.reserveCapacity(message.count * 3 / 2 + 64)
            try message.withUnsafeBytes { try JSONWriter.append($0, call.route.response, to: &text) }
            exchange.respond(GatewayAnswers.messages, body: text)
        } catch let status as RPCStatus {
            exchange.fail(status)
        } catch {
            exchange.fail(RPCStatus(.internal, "\(error)"))
        }
    }

    func onWritable() {}

    func onGone() { running?.cancel() }
}

/// Reads what is sent to a method that takes one message.
enum GatewayRequest {
    /// The first value of a body; what follows it is passed over, and nothing at all is a message without fields.
    static func first(
        of text: UnsafeBufferPointer<UInt8>, _ type: GatewayMessage
    ) throws(JSONFailure) -> [UInt8] {
        var scanner = JSONScanner()
        for (index, byte) in text.enumerated() {
            switch scanner.feed(byte) {
            case .goesOn: break
            case .ends: return try JSONReader.read(UnsafeBufferPointer(rebasing: text[...index]), as: type)
            case .ended: return try JSONReader.read(UnsafeBufferPointer(rebasing: text[..<index]), as: type)
            case .failed(let text): throw JSONFailure(text: text)
            }
        }
        return try last(text, &scanner, type) ?? []
    }

    /// The value that ends with the text, which `scanner` has read.
    /// - Returns: Nil for nothing but space.
    static func last(
        _ text: UnsafeBufferPointer<UInt8>, _ scanner: inout JSONScanner, _ type: GatewayMessage
    ) throws(JSONFailure) -> [UInt8]? {
        if scanner.isAtBeginning { return nil }
        guard case .ended = scanner.feed(0x20) else { throw JSONFailure(text: "unexpected EOF") }
        return try JSONReader.read(text, as: type)
    }
}
