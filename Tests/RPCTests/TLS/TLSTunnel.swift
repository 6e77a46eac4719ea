import NIOCore
import NIOPosix
import NIOSSL

/// Speaks TLS on behalf of a client that does not: what it sends to a port of this comes out at the server, and the other
/// way. Neither side is read faster than the other one reads.
enum TLSTunnel {
    /// Opens a tunnel, with HTTP/2 as the protocol, for as long as the body runs.
    /// - Parameter body: Gets the port.
    static func with(_ serverPort: Int, _ body: (Int) async throws -> Void) async throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        configuration.applicationProtocols = ["h2"]
        let tls = try NIOSSLContext(configuration: configuration)
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { near in
                ClientBootstrap(group: near.eventLoop).connectTimeout(.seconds(600))
                    .channelInitializer { far in
                        far.eventLoop.makeCompletedFuture {
                            let ends = (Joint(), Joint())
                            (ends.0.other, ends.1.other) = (ends.1, ends.0)
                            try far.pipeline.syncOperations.addHandlers([
                                try NIOSSLClientHandler(context: tls, serverHostname: nil), ends.1,
                            ])
                            try near.pipeline.syncOperations.addHandler(ends.0)
                        }
                    }
                    .connect(host: "127.0.0.1", port: serverPort).map { _ in }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(listener.localAddress?.port ?? 0))
        } catch {
            result = .failure(error)
        }
        try await listener.close()
        try result.get()
    }

    /// One end of a connection through the tunnel.
    private final class Joint: ChannelDuplexHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        /// Gone with its channel: both hold each other until then.
        var other: Joint?
        private var context: ChannelHandlerContext?
        private var isReadingHeld = false

        func handlerAdded(context: ChannelHandlerContext) { self.context = context }

        func handlerRemoved(context: ChannelHandlerContext) {
            self.context = nil
            other = nil
        }

        /// The near end becomes active when the far one is there.
        func channelActive(context: ChannelHandlerContext) { context.read() }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            other?.context?.writeAndFlush(wrapOutboundOut(unwrapInboundIn(data)), promise: nil)
        }

        func channelReadComplete(context: ChannelHandlerContext) { context.read() }

        func read(context: ChannelHandlerContext) {
            if other?.context?.channel.isWritable ?? true {
                context.read()
            } else {
                isReadingHeld = true
            }
        }

        func channelWritabilityChanged(context: ChannelHandlerContext) {
            guard context.channel.isWritable, let other, other.isReadingHeld else { return }
            other.isReadingHeld = false
            other.context?.read()
        }

        func channelInactive(context: ChannelHandlerContext) { other?.context?.close(promise: nil) }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
