import CNGHTTP2
import NIOCore
import Synchronization

/// Receives what happens to one streaming call of a client. All methods are called on the client's event loop, one
/// after the other, and must not block.
public protocol ClientStreamHandler: AnyObject {
    /// A message has come; the bytes are lent for the duration of the call.
    func onMessage(_ message: RawSpan)
    /// The call is over; the last thing the handler hears, and heard exactly once.
    func onEnd(_ status: RPCStatus)
    /// `isWritable` was false and the queue has gone down: more can be sent.
    func onWritable()
}

/// One call of a client.
public final class ClientCall: RPCCall, @unchecked Sendable {
    // Unchecked as its superclass: what is not constant is touched on the connection's event loop only.

    enum Receiver {
        case unary(@Sendable (Result<[UInt8], RPCStatus>) -> Void, [UInt8])
        case makesStream(@Sendable (ClientCall) -> any ClientStreamHandler)
        case stream(any ClientStreamHandler)
        case none

        static func stream(_ make: @escaping @Sendable (ClientCall) -> any ClientStreamHandler) -> Receiver {
            .makesStream(make)
        }
    }

    private unowned(unsafe) let client: ClientConnection
    private let method: RPCMethod
    private let timeout: Int64?
    private let metadata: [(String, String)]
    private var receiver: Receiver
    private var answer: [UInt8]?
    private var httpStatus: Int?
    private var grpcStatus: RPCStatus.Code?
    private var grpcMessage = ""

    init(
        client: ClientConnection, method: RPCMethod, timeout: Int64?, metadata: [(String, String)], receiver: Receiver
    ) {
        self.client = client
        self.method = method
        self.timeout = timeout
        self.metadata = metadata
        self.receiver = receiver
        super.init(connection: client, streamID: 0)
    }

    func start() {
        if loop.eventLoop.inEventLoop {
            perform(.start)
        } else {
            loop.post(self, .start)
        }
    }

    /// Tells the server that nothing more will be sent.
    public func halfClose() { hand(.halfClose) }

    /// Gives up: the call ends with CANCELLED, the server is told. After the end it does nothing.
    public func cancel() { hand(.cancel) }

    private func hand(_ work: CallWork) {
        if loop.eventLoop.inEventLoop {
            perform(work)
        } else {
            loop.post(self, work)
        }
    }

    // MARK: On the loop

    override func perform(_ work: CallWork) {
        guard !hasEnded else { return }
        switch work {
        case .start: submit()
        case .send(let message):
            guard !outboundEnded else { return }
            enqueue(message)
            resumeIfDeferred()
            client.setNeedsDrain()
        case .halfClose:
            outboundEnded = true
            resumeIfDeferred()
            client.setNeedsDrain()
        case .cancel: giveUp(RPCStatus(.cancelled, "context canceled"))
        case .setReading(let reading): applyReading(reading)
        case .finish, .wake, .run: preconditionFailure("work of the server's side")
        }
    }

    private func submit() {
        switch receiver {
        case .unary(_, let message):
            enqueue(message)
            outboundEnded = true
        case .makesStream(let make):
            countsPending = true
            receiver = .stream(make(self))
        case .stream, .none: break
        }
        guard let session = client.session else { return end(client.lostStatus) }
        if let timeout {
            let now = NIODeadline.now()
            loop.deadlines.insert(self, of: loop, deadline: now + .nanoseconds(timeout), now: now)
        }
        var provider = SessionSupport.dataProvider(for: self)
        let pointer = Unmanaged.passUnretained(self).toOpaque()
        let id: Int32
        if timeout == nil, metadata.isEmpty {
            let fields = method.fields.fields
            id = nghttp2_submit_request(session, nil, fields.baseAddress, fields.count, &provider, pointer)
        } else {
            var extra = HeaderFields()
            if let timeout { extra.append("grpc-timeout".utf8, GRPCTimeout.format(nanoseconds: timeout)) }
            for (name, value) in metadata { extra.append(name, value) }
            id = extra.withFields(after: method.fields) {
                nghttp2_submit_request(session, nil, $0, $1, &provider, pointer)
            }
        }
        guard id > 0 else { return end(client.lostStatus) }
        streamID = id
        client.add(self)
        LoopCounters.add(1, to: loop.counters.callsStarted)
        client.setNeedsDrain()
    }

    /// Ends the call here and resets the stream.
    private func giveUp(_ status: RPCStatus) {
        guard !hasEnded else { return }
        end(status)
        dropOutbound()
        guard streamID > 0, let session = client.session else { return }
        nghttp2_submit_rst_stream(session, SessionSupport.noFlags, streamID, NGHTTP2_CANCEL.rawValue)
        client.setNeedsDrain()
    }

    /// Tells the receiver, once.
    func end(_ status: RPCStatus) {
        guard !hasEnded else { return }
        hasEnded = true
        loop.deadlines.remove(self)
        closed.store(true, ordering: .releasing)
        LoopCounters.add(1, to: loop.counters.callsEnded)
        if !status.isOK { LoopCounters.add(1, to: loop.counters.callsFailed) }
        let receiver = receiver
        self.receiver = .none
        switch receiver {
        case .unary(let completion, _):
            if !status.isOK {
                completion(.failure(status))
            } else if let answer {
                completion(.success(answer))
            } else {
                completion(.failure(RPCStatus(.internal, "the server ended the call without a message")))
            }
        case .stream(let handler): handler.onEnd(status)
        case .makesStream(let make): make(self).onEnd(status)
        case .none: break
        }
    }

    override func deadlineExpired() {
        giveUp(RPCStatus(.deadlineExceeded, "context deadline exceeded"))
    }

    override func becameWritable() {
        if case .stream(let handler) = receiver { handler.onWritable() }
    }

    // MARK: The answer arrives

    func header(_ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>) {
        if name.elementsEqual(":status".utf8) {
            httpStatus = Int(String(decoding: value, as: UTF8.self))
        } else if name.elementsEqual("grpc-status".utf8) {
            grpcStatus = UInt8(String(decoding: value, as: UTF8.self)).flatMap(RPCStatus.Code.init) ?? .unknown
        } else if name.elementsEqual("grpc-message".utf8) {
            grpcMessage = PercentEncoding.decode(value)
        }
    }

    func received(_ chunk: UnsafeRawBufferPointer) {
        guard !hasEnded else { return }
        do throws(MessageAssembler.Problem) {
            try assemble(chunk, limit: client.configuration.messageSizeMax) { message in
                if case .stream(let handler) = receiver {
                    handler.onMessage(message)
                } else if answer == nil {
                    answer = message.withUnsafeBytes { Array($0) }
                } else {
                    giveUp(RPCStatus(.internal, "the server sent more than one message to a unary call"))
                }
            }
        } catch {
            switch error {
            case .tooLarge(let length, let limit):
                giveUp(
                    RPCStatus(.resourceExhausted, "grpc: received message larger than max (\(length) vs. \(limit))"))
            case .compressed:
                giveUp(RPCStatus(.internal, "grpc: compressed flag set with identity or empty encoding"))
            case .badFlag(let flag):
                giveUp(RPCStatus(.internal, "grpc: received unexpected payload format \(flag)"))
            }
        }
    }

    /// The server has ended the call.
    func receivedEnd() {
        remoteEnded = true
        guard !hasEnded else { return }
        if let grpcStatus {
            end(RPCStatus(grpcStatus, grpcMessage))
        } else {
            end(ClientStatus.ofHTTP(httpStatus))
        }
        // Our side may still be open, where the server did not want the rest of the request.
        if !(outboundEnded && outbound.byteCount == 0), let session = client.session {
            dropOutbound()
            nghttp2_submit_rst_stream(session, SessionSupport.noFlags, streamID, NGHTTP2_CANCEL.rawValue)
        }
    }
}
