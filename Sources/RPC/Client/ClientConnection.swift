import CNGHTTP2
import NIOCore

/// The client's side of a connection.
final class ClientConnection: HTTP2Connection, @unchecked Sendable {
    let configuration: RPCClientConfiguration
    let methods: ClientMethods
    let address: String
    /// The call whose header block is being read; header blocks do not overlap.
    var headerCall: ClientCall?
    /// Where TLS is spoken: when it is.
    var handshake: EventLoopFuture<Void>?
    /// Why the server closes the connection, where it has said so.
    private var goAway: String?

    init(loop: LoopContext, configuration: RPCClientConfiguration, methods: ClientMethods, address: String) {
        self.configuration = configuration
        self.methods = methods
        self.address = address
        super.init(loop: loop, settings: configuration.connectionSettings)
    }

    /// What calls end with that the connection cannot carry.
    var lostStatus: RPCStatus {
        RPCStatus(.unavailable, "connection to \(address) lost" + (goAway.map { ": " + $0 } ?? ""))
    }

    override func makeSession() -> OpaquePointer? {
        SessionSupport.makeSession(isServer: false, callbacks: ClientCallbacks.all, connection: self)
    }

    override func connectionLost(_ call: RPCCall) { Self.clientCall(call).end(lostStatus) }

    /// A call that is kept here keeps the connection.
    override func connectionGone() { headerCall = nil }

    /// Every call of a client's connection is a `ClientCall`.
    @inline(__always)
    static func clientCall(_ call: RPCCall) -> ClientCall { unsafeDowncast(call, to: ClientCall.self) }

    @inline(__always)
    func clientCall(ofStream streamID: Int32) -> ClientCall? {
        call(ofStream: streamID).map(Self.clientCall)
    }

    func data(streamID: Int32, chunk: UnsafeRawBufferPointer) {
        guard let session else { return }
        let call = clientCall(ofStream: streamID)
        call?.received(chunk)
        SessionSupport.consume(chunk.count, of: call, streamID: streamID, session: session)
    }

    func streamClosed(_ call: ClientCall, code: UInt32) {
        if headerCall === call { headerCall = nil }
        remove(call)
        call.end(ClientStatus.ofReset(code))
    }

    /// A server refuses the certificate of a client only after that has taken the connection for open.
    override func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if configuration.tls != nil, goAway == nil { goAway = "\(TLSFailure(reason: TLSReason.text(error)))" }
        super.errorCaught(context: context, error: error)
    }

    func receivedGoAway(_ code: UInt32, _ text: String) {
        let name = String(cString: nghttp2_http2_strerror(code))
        goAway = "GOAWAY \(name)" + (text.isEmpty ? "" : " (\(text))")
    }

    func closeByClient() {
        guard let session else { return close() }
        nghttp2_session_terminate_session(session, NGHTTP2_NO_ERROR.rawValue)
        closesAfterDrain = true
        drain()
    }
}
