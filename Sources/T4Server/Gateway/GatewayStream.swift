import RPC

/// A call whose answers are a stream, one line for each; its requests are one message, or many one after the other.
final class GatewayStream: HTTPRequestHandler, ClientStreamHandler, @unchecked Sendable {
    // Unchecked: touched on the connection's event loop only, where the call lives too.

    private let exchange: HTTPExchange
    private let call: GatewayCall
    private let takesMany: Bool
    private var body: [UInt8] = []
    /// Bytes of the body that have become messages, and that have been looked at.
    private var taken = 0
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

    var heldBytes: Int { body.count - taken + (running?.pendingBytes ?? 0) }
    var mayRead: Bool { running?.isWritable ?? true }
    var isMidMessage: Bool { !scanner.isAtBeginning && !isInputOver }

    func onBody(_ bytes: RawSpan) {
        guard !isInputOver else { return }
        bytes.withUnsafeBytes { body.append(contentsOf: $0) }
        takeMessages()
        // While the call takes no messages, those that wait are no fault of the client.
        if mayRead, body.count > call.bodySizeMax {
            forgetBody()
            fail(call.tooLarge)
        }
    }

    func onEnd() {
        takeMessages(all: true)
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

    /// - Parameter all: Those too that the call would rather not have yet.
    private func takeMessages(all: Bool = false) {
        while !isInputOver, scanned < body.count, all || mayRead {
            switch scanner.feed(body[scanned]) {
            case .goesOn: scanned += 1
            case .ends: take(to: scanned + 1)
            case .ended: take(to: scanned)
            case .failed(let text): refuse(JSONFailure(text: text))
            }
        }
        guard taken > 0, !isInputOver else { return }
        body.removeFirst(taken)
        scanned -= taken
        taken = 0
    }

    private func take(to end: Int) {
        let result: Result<[UInt8], JSONFailure> = body[taken..<end].withUnsafeBufferPointer { text in
            do throws(JSONFailure) {
                return .success(try JSONReader.read(text, as: call.route.request))
            } catch {
                return .failure(error)
            }
        }
        taken = end
        scanned = end
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
        forgetBody()
        start()?.halfClose()
    }

    private func forgetBody() {
        body = []
        taken = 0
        scanned = 0
    }

    /// Without a message before, the answer tells of it; else it is as if the request had ended there.
    private func refuse(_ failure: JSONFailure) {
        if hasSent { return endInput() }
        fail(RPCStatus(takesMany ? .unknown : .invalidArgument, failure.text), asBody: true)
    }

    private func start() -> ClientCall? {
        if let running { return running }
        guard !call.options.isOverdue else {
            fail(GatewayCall.overdue, asBody: true)
            return nil
        }
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
            if exchange.isStarted {
                exchange.finish()
            } else {
                exchange.respondWithoutPieces(GatewayAnswers.emptyStream)
            }
        } else {
            // As etcd, where nothing has come by then that a stream could begin with.
            fail(status, asBody: status.code == .deadlineExceeded)
        }
    }

    /// More of the request can be sent on.
    func onWritable() {
        takeMessages()
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
