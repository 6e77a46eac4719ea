import NIOCore
import NIOSSL
import NIOTLS

/// What is known of a client through TLS, once the handshake is over. Confined to the connection's event loop.
final class TLSPeer {
    /// The common name in the client's certificate, where one was asked for; empty for a certificate without.
    var commonName: [UInt8]?
}

/// A connection before its TLS handshake is over: a handler on each side of the one for TLS, which both leave then.
///
/// The one in front sees what the client sends: it turns away who speaks no TLS, and counts the bytes as memory of the
/// loop, since the TLS handler keeps them. The one behind sees what comes of it. Confined to the connection's event loop.
final class TLSDoor {
    /// Bytes of a read from the socket. The TLS handler keeps a buffer for what is decrypted of them at the size that it
    /// once had, for as long as the connection is open.
    static let receiveBytes = 32 * 1024
    /// A client's part of a handshake with a long chain of large keys takes less than half of it.
    private static let bytesMax = 64 * 1024
    /// As much may be received while memory is used up; without a client's certificate a handshake takes less.
    private static let bytesWhenUsedUp = 16 * 1024
    /// First byte of a TLS record that a handshake begins with.
    private static let handshakeRecord: UInt8 = 0x16

    private let loop: LoopContext
    private let faults: ClientFaultLog
    private let remoteAddress: String?
    private let verifiesClients: Bool
    private let peer: TLSPeer
    private var bytes = 0
    /// Nobody is told of anything any more.
    private var isOver = false

    private init(
        loop: LoopContext, faults: ClientFaultLog, remoteAddress: String?, verifiesClients: Bool, peer: TLSPeer
    ) {
        self.loop = loop
        self.faults = faults
        self.remoteAddress = remoteAddress
        self.verifiesClients = verifiesClients
        self.peer = peer
    }

    /// Puts TLS in front of the handlers of a channel.
    static func add(
        to channel: any Channel, context: NIOSSLContext, loop: LoopContext, shared: ServerShared,
        remoteAddress: String?,
        peer: TLSPeer
    ) throws {
        let door = TLSDoor(
            loop: loop, faults: shared.faults, remoteAddress: remoteAddress,
            verifiesClients: context.configuration.certificateVerification == .noHostnameVerification, peer: peer)
        let tls = NIOSSLServerHandler(context: context)
        let front = Front(door)
        try channel.pipeline.syncOperations.addHandlers(
            [front, tls, Behind(door, tls: tls, front: front)], position: .first)
    }

    private func note(_ fault: ClientFault, _ detail: String? = nil) {
        guard !isOver else { return }
        isOver = true
        faults.note(fault, from: remoteAddress, detail: detail)
    }

    /// - Returns: Why nothing more is to be received; nil if all is well.
    private func received(_ buffer: ByteBuffer) -> (fault: ClientFault, detail: String?)? {
        if bytes == 0, buffer.readableBytesView.first != TLSDoor.handshakeRecord { return (.plainOnTLSPort, nil) }
        bytes += buffer.readableBytes
        loop.buffered(buffer.readableBytes)
        if bytes > TLSDoor.bytesMax { return (.failedTLS, "more than \(TLSDoor.bytesMax) bytes of it") }
        if bytes > TLSDoor.bytesWhenUsedUp, loop.isMemoryUsedUp { return (.buffersMost, nil) }
        return nil
    }

    private final class Front: ChannelInboundHandler, RemovableChannelHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let door: TLSDoor

        init(_ door: TLSDoor) { self.door = door }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard !door.isOver else { return }
            let buffer = unwrapInboundIn(data)
            guard let (fault, detail) = door.received(buffer) else { return context.fireChannelRead(data) }
            door.note(fault, detail)
            // A method of HTTP, which no other protocol of ours begins with: the client can be told.
            if fault == .plainOnTLSPort, let first = buffer.readableBytesView.first, (0x41...0x5A).contains(first) {
                let text = "HTTP/1.0 400 Bad Request\r\n\r\nThis port speaks TLS: use https.\n"
                context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
            }
            context.close(promise: nil)
        }

        func handlerRemoved(context: ChannelHandlerContext) {
            door.loop.buffered(-door.bytes)
            door.bytes = 0
        }
    }

    private final class Behind: ChannelInboundHandler, RemovableChannelHandler {
        typealias InboundIn = ByteBuffer

        private let door: TLSDoor
        private let tls: NIOSSLServerHandler
        private let front: Front

        init(_ door: TLSDoor, tls: NIOSSLServerHandler, front: Front) {
            self.door = door
            self.tls = tls
            self.front = front
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if case .some(.handshakeCompleted) = event as? TLSUserEvent, !door.isOver {
                door.isOver = true
                if door.verifiesClients { door.peer.commonName = tls.peerCertificate?.commonName ?? [] }
                context.pipeline.syncOperations.removeHandler(front, promise: nil)
                context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
            }
            context.fireUserInboundEventTriggered(event)
        }

        /// The handshake has failed; the TLS handler closes the connection. Who leaves without a word has only looked
        /// whether the port is open.
        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            if door.bytes > 0 { door.note(.failedTLS, TLSReason.text(error)) }
        }
    }
}

extension NIOSSLCertificate {
    /// The common name of the subject, the last one where there are several.
    fileprivate var commonName: [UInt8]? {
        subjectName.last { $0.type == .commonName }.map { Array($0.value.utf8) }
    }
}
