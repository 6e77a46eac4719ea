import NIOCore
import NIOHTTP1
import NIOWebSocket

/// Makes the messages of a WebSocket parts of an HTTP request, and of parts of its answer messages.
///
/// A line end follows each message; each line of the answer is a message without it. Heads are dropped. The end of the answer closes the
/// WebSocket; when the client does, or breaks the protocol, `Closed` says so. Confined to the event loop.
final class WebSocketParts: ChannelDuplexHandler {
    typealias InboundIn = WebSocketFrame
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = WebSocketFrame

    /// Goes through the pipeline when the last frame has been written and the answer has not ended.
    struct Closed {}

    private static let lineEnd = UInt8(ascii: "\n")

    /// A message has begun whose last frame has not come.
    private var isMidMessage = false
    /// The last frame has been written.
    private var isClosed = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosed else { return }
        let frame = unwrapInboundIn(data)
        // Clients mask what they send; control frames have one frame, and no extension was agreed on.
        guard frame.maskKey != nil, !frame.rsv1, !frame.rsv2, !frame.rsv3 else {
            return close(context, .protocolError)
        }
        switch frame.opcode {
        case .text, .binary, .continuation:
            guard isMidMessage == (frame.opcode == .continuation) else { return close(context, .protocolError) }
            isMidMessage = !frame.fin
            var bytes = frame.unmaskedData
            if frame.fin { bytes.writeInteger(Self.lineEnd) }
            if bytes.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(.body(bytes))) }
        case .connectionClose:
            var data = frame.unmaskedData
            close(context, data.readWebSocketErrorCode() ?? .normalClosure)
        case .ping:
            // Whoever reads nothing hears nothing.
            guard context.channel.isWritable else { return }
            let pong = WebSocketFrame(fin: true, opcode: .pong, data: frame.unmaskedData)
            context.writeAndFlush(wrapOutboundOut(pong), promise: nil)
        case .pong: break
        default: close(context, .protocolError)
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .body(.byteBuffer(let bytes)) where !isClosed:
            var lines = bytes.readableBytesView.split(separator: Self.lineEnd)
            guard let last = lines.popLast() else { fallthrough }
            for line in lines { context.write(wrapOutboundOut(Self.text(line)), promise: nil) }
            context.write(wrapOutboundOut(Self.text(last)), promise: promise)
        case .head, .body: promise?.succeed()
        case .end:
            guard !isClosed else {
                promise?.succeed()
                return
            }
            isClosed = true
            context.write(wrapOutboundOut(Self.closing(.normalClosure)), promise: promise)
        }
    }

    private func close(_ context: ChannelHandlerContext, _ code: WebSocketErrorCode) {
        isClosed = true
        context.writeAndFlush(wrapOutboundOut(Self.closing(code)), promise: nil)
        context.fireUserInboundEventTriggered(Closed())
    }

    private static func text(_ line: ByteBufferView) -> WebSocketFrame {
        WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(line))
    }

    private static func closing(_ code: WebSocketErrorCode) -> WebSocketFrame {
        var data = ByteBuffer()
        data.write(webSocketErrorCode: code)
        return WebSocketFrame(fin: true, opcode: .connectionClose, data: data)
    }
}
