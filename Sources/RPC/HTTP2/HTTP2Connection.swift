import CNGHTTP2
import NIOCore
import Synchronization

/// One HTTP/2 connection: an nghttp2 session in a channel handler, and the calls that are open on it.
///
/// Received bytes go straight into nghttp2, whose callbacks find the calls; what is to be sent is gathered once
/// per read cycle (or per batch of answers from elsewhere), written and flushed once. While the channel is not
/// writable nothing is taken from nghttp2, so that a slow reader's data waits in the queues of its calls. The
/// channel may be any channel of bytes: TLS handlers fit in front.
// Unchecked: references to it travel with calls, everything in it is touched on the event loop only.
class HTTP2Connection: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Bytes gathered before they are handed to the channel; one frame may go over it.
    static let outputChunk = 64 * 1024
    /// How long the peer may take to close its side after the last bytes for it have left.
    private static let lingerSeconds: Int64 = 1
    /// How long the peer may take to read the last bytes.
    private static let flushSeconds: Int64 = 20

    let loop: LoopContext
    let settings: ConnectionSettings
    final private(set) var session: OpaquePointer?
    final private(set) var context: ChannelHandlerContext?
    /// Open calls; each knows its position.
    final private(set) var calls: ContiguousArray<RPCCall> = []
    /// Bytes in the queues of all calls.
    final private(set) var outputBytesQueued = 0
    /// As many of them as count in the loop's memory: one answer may be as large as it is.
    final private(set) var outputBytesCounted = 0
    /// Bytes that have ever left those queues.
    final private(set) var outputBytesGone = 0
    /// Size of the largest message since the queues were empty.
    private var largestQueued = 0
    /// More than `outputBytesMax` waits, or more than `pendingBytesHigh` when memory was used up; true until half of that
    /// has left. Written on the loop.
    final let isOutputFull = Atomic<Bool>(false)
    /// The connection was full and has room; calls are to be told.
    private var hasRoomAgain = false
    /// What waits for room may find it.
    private var mayUseRoom = false
    /// Position of the call that is told first the next time there is room again.
    private var nextTold = 0
    /// Calls whose handler is to be told that it may send again.
    final var becameWritable: [RPCCall] = []
    /// The connection is to be closed once what nghttp2 holds now has been sent.
    final var closesAfterDrain = false

    private var isInReadCycle = false
    private var isDirty = false
    private var isDraining = false
    private var isClosing = false
    /// nghttp2 is on the stack; the session must not be freed.
    private var isInSession = false
    private var isGone = false
    /// The session when the connection is gone: it is freed as soon as nghttp2 is not on the stack.
    private var doomedSession: OpaquePointer?
    private var keepalive = KeepaliveTimer()

    init(loop: LoopContext, settings: ConnectionSettings) {
        self.loop = loop
        self.settings = settings
    }

    deinit {
        precondition(session == nil && doomedSession == nil, "a connection went away before its channel")
    }

    // MARK: What the sides differ in

    /// Makes the session with the side's callbacks.
    func makeSession() -> OpaquePointer? { preconditionFailure("abstract") }
    /// The channel is gone: ends the call, which is no longer in `calls`.
    func connectionLost(_ call: RPCCall) { preconditionFailure("abstract") }
    /// After each drain; the place to find out that nothing is left to do.
    func drained() {}
    /// A DATA frame goes out.
    func dataLeaves(_ count: Int) {}
    /// Bytes have come, and are about to be dealt with.
    func willReceive() {}
    /// So many received bytes have been dealt with.
    func received(_ count: Int) {}
    /// The peer broke the protocol beyond repair.
    func protocolBroken() {}
    /// There is room for output; the place to go on with what waits for it. True if something was done.
    func useRoom() -> Bool { false }
    /// Something waits for `useRoom`.
    var waitsForRoom: Bool { false }
    /// The connection is gone and all its calls have been told.
    func connectionGone() {}

    // MARK: Calls

    final func add(_ call: RPCCall) {
        call.index = calls.count
        calls.append(call)
    }

    /// Takes the call out and clears what hangs on it.
    final func remove(_ call: RPCCall) {
        guard call.index >= 0 else { return }
        let last = calls.removeLast()
        if last !== call {
            calls[call.index] = last
            last.index = call.index
        }
        call.index = -1
        loop.deadlines.remove(call)
        call.dropOutbound()
        call.assembler.reset()
        call.closed.store(true, ordering: .releasing)
    }

    /// The call of a stream, or nil if the stream is gone, or the connection: nghttp2 goes on with what it has read, and
    /// knows pointers to calls that are no more.
    @inline(__always)
    final func call(ofStream streamID: Int32) -> RPCCall? {
        guard let session, let pointer = nghttp2_session_get_stream_user_data(session, streamID) else { return nil }
        return Unmanaged<RPCCall>.fromOpaque(pointer).takeUnretainedValue()
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { start() }
    }

    func channelActive(context: ChannelHandlerContext) {
        start()
        context.fireChannelActive()
    }

    private func start() {
        guard session == nil, !isGone else { return }
        session = makeSession()
        guard session != nil else { return close() }
        keepalive.start(on: self)
        drain()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let session, !isClosing, !closesAfterDrain else { return }
        isInReadCycle = true
        keepalive.sawRead = true
        willReceive()
        let buffer = unwrapInboundIn(data)
        LoopCounters.add(buffer.readableBytes, to: loop.counters.bytesReceived)
        isInSession = true
        let consumed = buffer.withUnsafeReadableBytes { bytes in
            nghttp2_session_mem_recv(session, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
        }
        isInSession = false
        if isGone { return freeSession() }
        if consumed < 0 {
            closesAfterDrain = true
            protocolBroken()
        } else {
            received(buffer.readableBytes)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isInReadCycle = false
        drain()
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable, !isInReadCycle { drain() }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        tearDown()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        tearDown()
        self.context = nil
    }

    /// Ends every call and frees the session. nghttp2 does not report streams that are open when it is freed.
    private func tearDown() {
        guard !isGone else { return }
        isGone = true
        keepalive.stop()
        // From here on calls find no session, so that what their owners do now comes to nothing.
        doomedSession = session
        session = nil
        while let call = calls.last {
            remove(call)
            connectionLost(call)
        }
        becameWritable = []
        if !isInSession { freeSession() }
        connectionGone()
    }

    private func freeSession() {
        nghttp2_session_del(doomedSession)
        doomedSession = nil
    }

    // MARK: Output

    /// To be called after nghttp2 was given something to send: now if nothing else will do it soon.
    @inline(__always)
    final func setNeedsDrain() {
        guard !isInReadCycle, !isDraining, !isDirty else { return }
        isDirty = true
        loop.markDirty(self)
    }

    final func drainIfDirty() {
        guard isDirty else { return }
        isDirty = false
        if !isInReadCycle { drain() }
    }

    /// Sends what nghttp2 has, as far as the channel takes it.
    final func drain() {
        guard !isDraining, !isClosing, session != nil, context != nil else { return }
        isDraining = true
        // What handlers send when they hear that they may is sent in the next turn: nobody else comes back for it.
        repeat { sendWhileWritable() } while !isGone && tellWritable()
        isDraining = false
        guard let session, !isGone else { return }
        drained()
        let isDone = nghttp2_session_want_read(session) == 0 && nghttp2_session_want_write(session) == 0
        if closesAfterDrain, context?.channel.isWritable != true {
            // A peer that does not read cannot be told why.
            close()
        } else if isDone || closesAfterDrain {
            closeAfterFlush()
        }
    }

    private func sendWhileWritable() {
        while let session, let context, !isGone, context.channel.isWritable {
            loop.output.clear(minimumCapacity: 4096)
            isInSession = true
            let more = gather(session)
            isInSession = false
            if isGone { return freeSession() }
            let count = loop.output.readableBytes
            if count > 0 {
                LoopCounters.add(count, to: loop.counters.bytesSent)
                context.writeAndFlush(wrapOutboundOut(loop.output), promise: nil)
            }
            if !more { return }
        }
    }

    /// Fills the output buffer; false when nghttp2 has no more.
    private func gather(_ session: OpaquePointer) -> Bool {
        while loop.output.readableBytes < Self.outputChunk {
            var bytes: UnsafePointer<UInt8>?
            // Valid until the next call of nghttp2 only. Data frames have written themselves to the output by then.
            let count = nghttp2_session_mem_send(session, &bytes)
            if count < 0 {
                closesAfterDrain = true
                return false
            }
            if count == 0 { return loop.output.readableBytes >= Self.outputChunk }
            loop.output.writeBytes(UnsafeRawBufferPointer(start: bytes, count: count))
        }
        return true
    }

    /// Tells the calls that may send more; false when there were none.
    private func tellWritable() -> Bool {
        let told = tellOfRoom()
        let calls = becameWritable
        guard !calls.isEmpty else { return told }
        becameWritable = []
        for call in calls where !call.hasEnded { call.becameWritable() }
        return true
    }

    /// Tells the calls that waited because the connection was full, until it is full again. They take turns.
    private func tellOfRoom() -> Bool {
        guard hasRoomAgain || mayUseRoom else { return false }
        mayUseRoom = false
        var told = useRoom()
        guard hasRoomAgain else { return told }
        hasRoomAgain = false
        let first = nextTold < calls.count ? nextTold : 0
        let waiting = (calls[first...] + calls[..<first]).filter { $0.countsPending && $0.takeWish() }
        var isOver = false
        for call in waiting where !call.hasEnded {
            if !isOutputFull.load(ordering: .relaxed) {
                call.becameWritable()
                told = true
            } else {
                call.returnWish()
                if !isOver { nextTold = max(0, call.index) }
                isOver = true
            }
        }
        return told
    }

    /// Bytes were put into the queue of a call.
    final func outputQueued(_ count: Int) {
        largestQueued = max(largestQueued, count)
        countOutput(count)
        let isMemoryUsedUp = loop.isMemoryUsedUp
        guard outputBytesQueued > fullBytes(whenScarce: isMemoryUsedUp), !isOutputFull.load(ordering: .relaxed) else {
            return
        }
        isOutputFull.store(true, ordering: .sequentiallyConsistent)
        if isMemoryUsedUp { loop.isRoomWanted = true }
    }

    /// Bytes have left the queue of a call, sent or dropped.
    final func outputLeft(_ count: Int) {
        countOutput(-count)
        outputBytesGone += count
        if count > 0 { lookForRoom() }
    }

    private func countOutput(_ change: Int) {
        outputBytesQueued += change
        if outputBytesQueued == 0 { largestQueued = 0 }
        let most = settings.answerBytesCounted
        let counted = min(outputBytesQueued, max(most, outputBytesQueued - max(0, largestQueued - most)))
        loop.buffered(counted - outputBytesCounted)
        outputBytesCounted = counted
    }

    private func fullBytes(whenScarce isScarce: Bool) -> Int {
        isScarce ? min(settings.pendingBytesHigh, settings.outputBytesMax) : settings.outputBytesMax
    }

    /// Goes on, in the next drain, with what waits for room or memory if there is some.
    final func lookForRoom() {
        if isOutputFull.load(ordering: .relaxed) {
            let isScarce = loop.isMemoryScarce
            guard outputBytesQueued <= fullBytes(whenScarce: isScarce) / 2 else {
                if isScarce { loop.isRoomWanted = true }
                return
            }
            isOutputFull.store(false, ordering: .sequentiallyConsistent)
            hasRoomAgain = true
        } else {
            guard waitsForRoom else { return }
            guard outputBytesQueued <= settings.pendingBytesHigh || !loop.isMemoryScarce else {
                loop.isRoomWanted = true
                return
            }
            mayUseRoom = true
        }
        setNeedsDrain()
    }

    // MARK: Closing

    /// Closes without sending what waits.
    final func close() {
        isClosing = true
        context?.close(promise: nil)
    }

    /// Closes once what has been written has left; the peer gets a moment to read it before the socket goes.
    private func closeAfterFlush() {
        guard !isClosing, let context else { return }
        isClosing = true
        let channel = context.channel
        let timer = channel.eventLoop.scheduleTask(in: .seconds(Self.flushSeconds)) { channel.close(promise: nil) }
        channel.closeFuture.whenComplete { _ in timer.cancel() }
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in
            channel.close(mode: .output).whenFailure { _ in channel.close(promise: nil) }
            channel.eventLoop.scheduleTask(in: .seconds(Self.lingerSeconds)) { channel.close(promise: nil) }
        }
    }

    // MARK: Keepalive

    /// A ping was answered.
    final func pingAcknowledged() { keepalive.sawRead = true }

    final func keepaliveFired() {
        guard let session, !isGone else { return }
        switch keepalive.fire(on: self) {
        case .nothing: break
        case .ping:
            nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
            drain()
        case .dead: close()
        }
    }
}
