import NIOCore

/// One end of a connection inside this process: what is written to it is read at the other end, in the next turn of the
/// event loop that both share.
///
/// It takes no socket and is always writable: what waits in it is bounded by the flow control of HTTP/2, because the
/// receiving end reads all that comes at once. Confined to the loop.
final class LocalChannel: Channel, ChannelCore, @unchecked Sendable {
    // Unchecked: everything that changes is touched on the event loop only.

    /// Asked for what only a socket can do.
    private struct NotSupported: Error {}

    private enum Phase {
        case new
        case active
        case closed
    }

    private let loop: any EventLoop
    private let closePromise: EventLoopPromise<Void>
    private var ownPipeline: ChannelPipeline?
    private var phase = Phase.new
    /// Gone once the other end is closed.
    private var peer: LocalChannel?
    private var written: [(bytes: ByteBuffer, promise: EventLoopPromise<Void>?)] = []
    private var inbox: [ByteBuffer] = []
    private var isInputClosed = false
    private var isDeliveryScheduled = false

    private init(loop: any EventLoop) {
        self.loop = loop
        closePromise = loop.makePromise()
        ownPipeline = nil
    }

    /// Two ends with a handler each. To be called on the loop.
    static func connect(
        on loop: any EventLoop, _ first: any ChannelHandler, _ second: any ChannelHandler
    ) throws -> (LocalChannel, LocalChannel) {
        let ends = (LocalChannel(loop: loop), LocalChannel(loop: loop))
        ends.0.peer = ends.1
        ends.1.peer = ends.0
        do {
            try ends.0.pipeline.syncOperations.addHandler(first)
            try ends.1.pipeline.syncOperations.addHandler(second)
        } catch {
            ends.0.close(promise: nil)
            throw error
        }
        // Both before either sends.
        ends.0.phase = .active
        ends.1.phase = .active
        ends.0.begin()
        ends.1.begin()
        return ends
    }

    private func begin() {
        pipeline.fireChannelRegistered()
        pipeline.fireChannelActive()
    }

    // MARK: Channel

    var allocator: ByteBufferAllocator { ByteBufferAllocator() }
    var closeFuture: EventLoopFuture<Void> { closePromise.futureResult }
    var pipeline: ChannelPipeline {
        if let ownPipeline { return ownPipeline }
        let made = ChannelPipeline(channel: self)
        ownPipeline = made
        return made
    }
    var localAddress: SocketAddress? { nil }
    var remoteAddress: SocketAddress? { nil }
    var parent: (any Channel)? { nil }
    var isWritable: Bool { phase == .active }
    var isActive: Bool { phase == .active }
    var eventLoop: any EventLoop { loop }
    var _channelCore: any ChannelCore { self }

    func setOption<Option: ChannelOption>(_ option: Option, value: Option.Value) -> EventLoopFuture<Void> {
        loop.makeFailedFuture(NotSupported())
    }

    func getOption<Option: ChannelOption>(_ option: Option) -> EventLoopFuture<Option.Value> {
        loop.makeFailedFuture(NotSupported())
    }

    // MARK: ChannelCore; on the loop

    func localAddress0() throws -> SocketAddress { throw NotSupported() }
    func remoteAddress0() throws -> SocketAddress { throw NotSupported() }
    func register0(promise: EventLoopPromise<Void>?) { promise?.fail(NotSupported()) }
    func registerAlreadyConfigured0(promise: EventLoopPromise<Void>?) {
        promise?.fail(NotSupported())
    }
    func bind0(to: SocketAddress, promise: EventLoopPromise<Void>?) {
        promise?.fail(NotSupported())
    }
    func connect0(to: SocketAddress, promise: EventLoopPromise<Void>?) {
        promise?.fail(NotSupported())
    }

    func write0(_ data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard phase == .active else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        written.append((unwrapData(data, as: ByteBuffer.self), promise))
    }

    func flush0() {
        let sent = written
        written = []
        for (bytes, _) in sent where bytes.readableBytes > 0 { peer?.receive(bytes) }
        for (_, promise) in sent { promise?.succeed(()) }
    }

    func read0() {}

    func close0(error: any Error, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard phase != .closed else {
            promise?.fail(ChannelError.alreadyClosed)
            return
        }
        switch mode {
        case .input: promise?.fail(NotSupported())
        case .output:
            // The other end closes when it has read what was sent, and this one with it.
            peer?.endInput()
            promise?.succeed(())
        case .all:
            shut(error)
            promise?.succeed(())
        }
    }

    func triggerUserOutboundEvent0(_ event: Any, promise: EventLoopPromise<Void>?) {
        promise?.fail(NotSupported())
    }

    func channelRead0(_ data: NIOAny) {}
    func errorCaught0(error: any Error) {}

    // MARK: Between the ends

    private func receive(_ bytes: ByteBuffer) {
        guard phase == .active, !isInputClosed else { return }
        inbox.append(bytes)
        scheduleDelivery()
    }

    private func endInput() {
        guard phase == .active, !isInputClosed else { return }
        isInputClosed = true
        scheduleDelivery()
    }

    private func scheduleDelivery() {
        guard !isDeliveryScheduled else { return }
        isDeliveryScheduled = true
        loop.execute { self.deliver() }
    }

    private func deliver() {
        isDeliveryScheduled = false
        let received = inbox
        inbox = []
        for bytes in received {
            guard phase == .active else { return }
            pipeline.fireChannelRead(bytes)
        }
        if !received.isEmpty, phase == .active { pipeline.fireChannelReadComplete() }
        if isInputClosed, phase == .active { shut(ChannelError.eof) }
    }

    private func shut(_ error: any Error) {
        let wasActive = phase == .active
        phase = .closed
        let (pending, other) = (written, peer)
        written = []
        inbox = []
        peer = nil
        for (_, promise) in pending { promise?.fail(error) }
        if wasActive {
            pipeline.fireChannelInactive()
            pipeline.fireChannelUnregistered()
        }
        other?.peer = nil
        other?.endInput()
        // Handlers may be on the stack; they leave in a later turn.
        loop.execute {
            self.closePromise.succeed(())
            // A pipeline and its channel hold each other until the handlers are out.
            self.removeHandlers(pipeline: self.pipeline)
        }
    }
}
