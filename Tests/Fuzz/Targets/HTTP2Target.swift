import Logging
import NIOCore
import NIOEmbedded
import Synchronization

@testable import RPC

/// The bytes of a client's connection, in pieces of some size.
///
/// The first byte chooses: the size of pieces; whether the client reads; whether requests that are no gRPC are served, as
/// behind TLS; whether a proper preface comes first; and
/// whether the rest is frames as they are, or in a short form (type, flags, stream, length, payload) in which a changed
/// byte does not lose all frames behind it.
extension FuzzTarget {
    static let http2 = FuzzTarget(name: "http2") { input in
        guard let choice = input.first else { return }
        let server = EmbeddedServer(hasWeb: choice & 0x10 != 0)
        var bytes = Array(input.dropFirst())
        if choice & 0x80 != 0 { bytes = frames(bytes) }
        if choice & 0x40 != 0 { bytes = preface + bytes }
        let size = 1 + Int(choice & 0x0F) * Int(choice & 0x0F) * 16
        for (number, start) in stride(from: 0, to: bytes.count, by: size).enumerated() {
            try server.receive(bytes[start..<min(start + size, bytes.count)])
            if choice & 0x20 != 0 { server.setReading(number % 4 == 3) }
        }
        try server.finish()
    }

    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]

    private static func frames(_ short: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = short[...]
        while rest.count >= 4 {
            let head = Array(rest.prefix(4))
            rest = rest.dropFirst(4)
            let payload = rest.prefix(Int(head[3]))
            rest = rest.dropFirst(payload.count)
            bytes += [0, 0, UInt8(payload.count), head[0], head[1], 0, 0, 0, head[2]] + payload
        }
        return bytes
    }
}

/// A server without sockets and threads.
private final class EmbeddedServer {
    private let eventLoop = EmbeddedEventLoop()
    private let context: LoopContext
    private let channel: EmbeddedChannel
    private let loop: ServerLoop
    private weak var connection: ServerConnection?

    init(hasWeb: Bool) {
        var configuration = RPCServerConfiguration()
        configuration.messageSizeMax = 4096
        configuration.concurrentStreamsMax = 20
        configuration.headerListSizeMax = 2048
        configuration.requestBytesMax = 16_384
        configuration.outputBytesMax = 8192
        configuration.bufferedBytesMax = 65_536
        context = LoopContext(
            eventLoop: eventLoop, memory: MemoryBudget(bytesMax: configuration.bufferedBytesMax, loopCount: 1))
        configuration.pendingBytesHigh = 2048
        configuration.uselessFramesBurst = 50
        configuration.resetsBurst = 50
        if hasWeb { configuration.http = EchoService() }
        var router = RPCRouter()
        router.unary("/a.B/Echo") { call, request in call.respond(request.withUnsafeBytes { Array($0) }) }
        router.unary("/a.B/Fail") { call, _ in call.fail(RPCStatus(.aborted, "no, never\n")) }
        router.unary("/a.B/Big") { call, _ in call.respond([UInt8](repeating: 1, count: 6000)) }
        router.stream("/a.B/Stream") { EchoHandler($0) }
        let shared = ServerShared(
            configuration: configuration, router: router, counters: [context.counters],
            logger: Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() })
        loop = ServerLoop(
            context: context, shared: shared, registry: ConnectionRegistry(limit: 1), carriesWeb: hasWeb)
        channel = EmbeddedChannel(loop: eventLoop)
    }

    func receive(_ bytes: ArraySlice<UInt8>) throws {
        if !channel.isActive {
            guard context.counters.connectionsAccepted.load(ordering: .relaxed) == 0 else { return }
            _ = try loop.open(channel)
            channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
        }
        try channel.writeInbound(ByteBuffer(bytes: bytes))
        if channel.isActive, connection == nil { connection = try found() }
        try turn()
    }

    /// The handler of the connection, once the client has shown that it speaks HTTP/2.
    private func found() throws -> ServerConnection? {
        do {
            return try channel.pipeline.syncOperations.handler(type: ServerConnection.self)
        } catch ChannelPipelineError.notFound {
            return nil
        }
    }

    func setReading(_ isReading: Bool) {
        channel.isWritable = isReading
        channel.pipeline.fireChannelWritabilityChanged()
    }

    private func turn() throws {
        eventLoop.run()
        while try channel.readOutbound(as: ByteBuffer.self) != nil {}
    }

    /// Closes, and checks that nothing is left.
    func finish() throws {
        if channel.isActive { channel.close(promise: nil) }
        try turn()
        let counters = context.counters
        let started = counters.callsStarted.load(ordering: .relaxed)
        let ended = counters.callsEnded.load(ordering: .relaxed)
        try FuzzFailure.unless(started == ended, "\(started) calls started, \(ended) ended")
        let open = counters.streamsOpen.load(ordering: .relaxed)
        try FuzzFailure.unless(open == 0, "\(open) streams open without a connection")
        try FuzzFailure.unless(
            context.bufferedBytes == 0, "\(context.bufferedBytes) bytes counted without a connection")
        try FuzzFailure.unless(connection == nil, "a closed connection is still in memory")
    }
}

/// Sends back the bodies of requests: at once as they come, or the path below `/whole` all together.
private struct EchoService: HTTPService {
    func begin(_ exchange: HTTPExchange) -> any HTTPRequestHandler { EchoRequest(exchange) }
    func webSocketHeaders(for exchange: HTTPExchange) -> [(String, String)]? { nil }
}

private final class EchoRequest: HTTPRequestHandler {
    private let exchange: HTTPExchange
    private let isWhole: Bool
    private var body: [UInt8] = []

    init(_ exchange: HTTPExchange) {
        self.exchange = exchange
        isWhole = exchange.path == "/whole"
        if exchange.path == "/call" {
            // Only that there is one: its calls go nowhere without a turn of the loop.
            do { _ = try exchange.makeClient() } catch {}
        }
        if exchange.path == "/none" {
            exchange.respond(HTTPAnswerHead(status: 404, headers: []), body: [])
        } else if !isWhole {
            exchange.start(HTTPAnswerHead(status: 200, headers: [("Content-Type", "text/plain")]))
        }
    }

    var heldBytes: Int { body.count }
    var mayRead: Bool { isWhole || exchange.isWritable }
    var isMidMessage: Bool { isWhole }

    func onBody(_ bytes: RawSpan) {
        let piece = bytes.withUnsafeBytes { Array($0) }
        if isWhole { body += piece } else { exchange.send(piece) }
    }

    func onEnd() {
        if isWhole {
            exchange.respond(HTTPAnswerHead(status: 200, headers: []), body: body)
        } else {
            exchange.finish()
        }
    }

    func onWritable() { exchange.resumeReading() }
    func onGone() {}
}

/// Sends back what it gets, as long as there is room.
private final class EchoHandler: ServerStreamHandler {
    private let call: ServerCall

    init(_ call: ServerCall) { self.call = call }

    func onMessage(_ message: RawSpan) {
        call.send(message.withUnsafeBytes { Array($0) })
        if !call.isWritable { call.pauseReading() }
    }

    func onHalfClose() { call.finish() }
    func onCancel(_ reason: CancelReason) {}
    func onWritable() { call.resumeReading() }
    func onWake() {}
}
