import NIOCore

/// Holds what a client has sent in front of the decoder, which takes a little at a time: a decoded request is many times as
/// large as its bytes. Confined to the event loop.
final class HTTP1Inbox: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    /// Bytes that the decoder gets in one go.
    private static let pieceBytes = 4096

    /// False drops what comes.
    var isWanted = true {
        didSet { if !isWanted { bytes = ByteBuffer() } }
    }
    private let onBytes: (Int) -> Void
    private var context: ChannelHandlerContext?
    private var bytes = ByteBuffer()

    /// - Parameter onBytes: Bytes have come; how many.
    init(onBytes: @escaping (Int) -> Void) { self.onBytes = onBytes }

    /// Bytes that wait.
    var count: Int { bytes.readableBytes }

    /// Gives some of what waits to the decoder.
    /// - Returns: How many bytes; 0 if none wait.
    func feed() -> Int {
        guard let context, let piece = bytes.readSlice(length: min(count, Self.pieceBytes)), piece.readableBytes > 0
        else { return 0 }
        if count == 0 { bytes = ByteBuffer() }
        context.fireChannelRead(wrapInboundOut(piece))
        return piece.readableBytes
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        isWanted = false
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard isWanted else { return }
        var received = unwrapInboundIn(data)
        let length = received.readableBytes
        if count == 0 {
            bytes = received
        } else {
            bytes.writeBuffer(&received)
        }
        onBytes(length)
    }
}
