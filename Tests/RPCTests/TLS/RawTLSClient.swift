import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS

/// A client that speaks TLS and nothing above it, to do what no proper client does.
struct RawTLSClient: Sendable {
    /// What has come by the end of the connection.
    struct Heard: Sendable {
        var bytes: [UInt8] = []
        /// The protocol of ALPN; nil where none was agreed on or the handshake failed.
        var negotiated: String?
        var error: String?
    }

    let channel: any Channel
    private let heard: EventLoopFuture<Heard>

    /// Connects and sends, as soon as the handshake is over.
    static func connect(
        port: Int, sending bytes: [UInt8] = [], _ configure: (inout TLSConfiguration) throws -> Void = { _ in }
    ) async throws -> RawTLSClient {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        try configure(&configuration)
        let context = try NIOSSLContext(configuration: configuration)
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let promise = loop.makePromise(of: Heard.self)
        let bootstrap = ClientBootstrap(group: loop).connectTimeout(.seconds(600)).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandlers([
                    try NIOSSLClientHandler(context: context, serverHostname: nil), Listener(promise, bytes),
                ])
            }
        }
        do {
            return RawTLSClient(
                channel: try await bootstrap.connect(host: "127.0.0.1", port: port).get(), heard: promise.futureResult)
        } catch {
            promise.fail(error)
            throw error
        }
    }

    /// Waits until the server has closed the connection.
    func untilClosed() async throws -> Heard { try await heard.get() }

    private final class Listener: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let promise: EventLoopPromise<Heard>
        private let bytes: [UInt8]
        private var heard = Heard()

        init(_ promise: EventLoopPromise<Heard>, _ bytes: [UInt8]) {
            self.promise = promise
            self.bytes = bytes
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            guard case .some(.handshakeCompleted(let negotiated)) = event as? TLSUserEvent else { return }
            heard.negotiated = negotiated
            if !bytes.isEmpty { context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil) }
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            heard.bytes += unwrapInboundIn(data).readableBytesView
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { heard.error = "\(error)" }

        func channelInactive(context: ChannelHandlerContext) { promise.succeed(heard) }
    }
}
