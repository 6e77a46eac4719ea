import Logging
import NIOCore

/// Looks at the first bytes of a connection and installs what speaks its protocol.
///
/// HTTP/2 by prior knowledge begins with a preface that no other request begins with. It stands at the end of the
/// pipeline, behind TLS where there is TLS, and leaves once it knows.
final class ProtocolDetector: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let preface: [UInt8] = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    /// Enough of the preface to tell it from every HTTP/1 method.
    private static let telling = 3

    private let shared: ServerShared
    private let remoteAddress: String?
    private let installHTTP2: (any Channel) throws -> Void
    private let installHTTP1: ((any Channel) throws -> Void)?
    private var received = ByteBuffer()
    private var isDecided = false
    private var timeout: Scheduled<Void>?

    init(
        shared: ServerShared, remoteAddress: String?, installHTTP2: @escaping (any Channel) throws -> Void,
        installHTTP1: ((any Channel) throws -> Void)?
    ) {
        self.shared = shared
        self.remoteAddress = remoteAddress
        self.installHTTP2 = installHTTP2
        self.installHTTP1 = installHTTP1
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        timeout = context.eventLoop.scheduleTask(
            in: .nanoseconds(shared.configuration.handshakeTimeout.nanoseconds)
        ) { [shared, remoteAddress] in
            shared.faults.note(.noHandshake, from: remoteAddress)
            channel.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { timeout?.cancel() }

    func channelInactive(context: ChannelHandlerContext) {
        timeout?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        guard !isDecided else { return context.fireChannelRead(data) }
        received.writeBuffer(&bytes)
        let first = received.readableBytesView.prefix(Self.telling)
        if first.elementsEqual(Self.preface.prefix(first.count)) {
            guard first.count == Self.telling else { return }
            decide(context) { try installHTTP2(context.channel) }
        } else if first.allSatisfy({ (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) || $0 == 0x20 }) {
            if let installHTTP1 {
                decide(context) { try installHTTP1(context.channel) }
            } else {
                refuse(context)
            }
        } else {
            isDecided = true
            // A handshake record, and the first byte of its version.
            let isTLS = received.readableBytesView.starts(with: [0x16, 0x03])
            shared.faults.note(isTLS ? .tlsOnPlainPort : .noHTTP2, from: remoteAddress)
            received.clear()
            context.close(promise: nil)
        }
    }

    private func decide(_ context: ChannelHandlerContext, _ install: () throws -> Void) {
        isDecided = true
        timeout?.cancel()
        do {
            try install()
        } catch {
            shared.logger.error("cannot set up a connection", metadata: ["error": "\(error)"])
            return context.close(promise: nil)
        }
        context.fireChannelRead(NIOAny(received))
        received = ByteBuffer()
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    private func refuse(_ context: ChannelHandlerContext) {
        isDecided = true
        let text = "This port speaks gRPC over HTTP/2.\n"
        var answer = context.channel.allocator.buffer(capacity: 256)
        answer.writeString(
            "HTTP/1.1 505 HTTP Version Not Supported\r\nContent-Type: text/plain; charset=utf-8\r\n"
                + "Content-Length: \(text.utf8.count)\r\nConnection: close\r\n\r\n" + text)
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(answer)).whenComplete { _ in
            // The client gets a moment to read; closing with unread bytes would reset the connection.
            channel.close(mode: .output, promise: nil)
            channel.eventLoop.scheduleTask(in: .seconds(1)) { channel.close(promise: nil) }
        }
    }
}
