import RPC

/// A call whose answers are a stream, one line for each; its requests are one message, or many one after the other.
final class GatewayStream: HTTPRequestHandler, ClientStreamHandler, @unchecked Sendable {
    // Unchecked: touched on the connection's event loop only, where the call lives too.

    private let exchange: HTTPExchange
    private let call: GatewayCall
    private let takesMany: Bool
    /// Of the request, what has not become a message.
    private var body: [UInt8] = []
    private var scanned = 0
    private var scanner = JSONScanner()
    private var running: ClientCall?
    private var hasSent = false
    /// Nothing more is read of the request.
    private var isInputOver = false

    init(_ exchange: HTTPExchange, _ call: GatewayCall, takesMany: Bool) {
        self.exchange = exchange
        self.call = call
        self.takesMany = takesMany
    }

    // MARK: The request

    var heldBytes: Int { body.count + (running?.pendingBytes ?? 0) }
    var mayRead: Bool { running?.isWritable ?? true }
    var isMidMessage: Bool { !scanner.isAtBeginning && !isInputOver }

    func onBody(_ bytes: RawSpan) {
        guard !isInputOver else { return }
        bytes.withUnsafeBytes { body.append(contentsOf: $0) }
        takeMessages()
        if body.count > call.bodySizeMax {
            body = []
            fail(call.tooLarge)
        }
    }

    func onEnd() {
        guard !isInputOver else { return }
        do throws(JSONFailure) {
            // A stream may have no message, another call has always one.
            if let message = try remainder() { send(message) } else if !takesMany { send([]) }
        } catch {
            return refuse(error)
        }
        endInput()
    }

    private func remainder() throws(JSONFailure) -> [UInt8]? {
        var scanner = scanner
        let result: Result<[UInt8]?, JSONFailure> = body.withUnsafeBufferPointer { text in
            do throws(JSONFailure) {
                return .success(try GatewayRequest.last(text, &scanner, call.route.request))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private func takeMessages() {
        while !isInputOver, scanned < body.count {
            let byte = body[scanned]
            switch scanner.feed(byte) {
            case .goesOn: scanned += 1
            case .ends: take(body.prefix(scanned + 1))
            case .ended: take(body.prefix(scanned))
            case .failed(let text): refuse(JSONFailure(text: text))
            }
        }
    }

    private func take(_ value: ArraySlice<UInt8>) {
        let result: Result<[UInt8], JSONFailure> = value.withUnsafeBufferPointer { text in
            do throws(JSONFailure) {
                return .success(try JSONReader.read(text, as: call.route.request))
            } catch {
                return .failure(error)
            }
        }
        body.removeFirst(value.count)
        scanned = 0
        scanner = JSONScanner()
        switch result {
        case .success(let message):
            send(message)
            if !takesMany { endInput() }
        case .failure(let failure): refuse(failure)
        }
    }

    private func send(_ message: [UInt8]) {
        hasSent = true
        start()?.send(message)
    }

    private func endInput() {
        isInputOver = true
        body = []
        start()?.halfClose()
    }

    /// Without a message before, the answer tells of it; else it is as if the request had ended there.
    private func refuse(_ failure: JSONFailure) {
        if hasSent { return endInput() }
        fail(RPCStatus(takesMany ? .unknown : .invalidArgument, failure.text), asBody: true)
    }

    private func start() -> ClientCall? {
        if let running { return running }
        do {
            guard let client = try exchange.makeClient() else { return nil }
            let made = client.stream(
                client.method(call.route.path), timeout: call.options.timeout, metadata: call.options.metadata
            ) { [self] _ in self }
            running = made
            return made
        } catch {
            fail(RPCStatus(.unavailable, "t4: no connection to the services: \(error)"), asBody: true)
            return nil
        }
    }

    // MARK: The answers

    func onMessage(_ message: RawSpan) {
        do throws(JSONFailure) {
            let line = try GatewayAnswers.line(message, call.route.response)
            if !exchange.isStarted { exchange.start(GatewayAnswers.messages) }
            exchange.send(line)
        } catch {
            return fail(RPCStatus(.internal, error.text))
        }
        if !exchange.isWritable { running?.pauseReading() }
    }

    func onEnd(_ status: RPCStatus) {
        guard !exchange.isEnded else { return }
        if status.isOK {
            if !exchange.isStarted { exchange.start(GatewayAnswers.emptyStream) }
            exchange.finish()
        } else {
            fail(status)
        }
    }

    /// More of the request can be sent on.
    func onWritable() {
        exchange.resumeReading()
        running?.resumeReading()
    }

    private func fail(_ status: RPCStatus, asBody: Bool = false) {
        guard !exchange.isEnded else { return }
        isInputOver = true
        if asBody, !exchange.isStarted {
            exchange.fail(status)
        } else {
            if !exchange.isStarted { exchange.start(GatewayAnswers.failed(status)) }
            exchange.send(GatewayAnswers.line(status))
            exchange.finish()
        }
        running?.cancel()
    }

    func onGone() {
        isInputOver = true
        running?.cancel()
    }
}
