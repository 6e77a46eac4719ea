import CNGHTTP2
import NIOCore
import Synchronization

/// One call on a connection: what the two sides, `ServerCall` and `ClientCall`, have in common.
///
/// All methods may be called from any thread. On the connection's event loop they act at once; elsewhere they
/// hand their work to the loop, in order. After the call has ended they do nothing.
public class RPCCall: @unchecked Sendable {
    // Unchecked: what is not atomic or constant is touched on the connection's event loop only.

    let connection: HTTP2Connection
    let loop: LoopContext

    // Confined to the loop.
    final var streamID: Int32
    /// Position in `connection.calls`; negative when not there.
    final var index = -1
    final var wheelSlot: Int32 = -1
    final var wheelIndex: Int32 = -1
    final var deadline = NIODeadline.distantFuture
    final var outbound = OutboundQueue()
    final var assembler = MessageAssembler()
    /// nghttp2 asked for data when there was none, and must be told when there is.
    final var isDeferred = false
    /// Nothing is to be appended to `outbound` any more.
    final var outboundEnded = false
    /// The peer has ended its side.
    final var remoteEnded = false
    /// The stream is gone, or all that is left is to send the end of it.
    final var hasEnded = false
    /// `bytesPending` is kept: only for calls with streaming, unary answers do without.
    final var countsPending = false
    final var isReadingPaused = false
    /// Received bytes for which the peer has not been given credit, because reading is paused.
    final var unconsumedBytes = 0

    private let pending = Atomic<Int>(0)
    private let wantsWritable = Atomic<Bool>(false)
    let closed = Atomic<Bool>(false)

    init(connection: HTTP2Connection, streamID: Int32) {
        self.connection = connection
        self.loop = connection.loop
        self.streamID = streamID
    }

    // MARK: Sending

    /// Bytes of this call that wait to be sent, prefixes included; 0 for unary answers.
    public final var pendingBytes: Int { pending.load(ordering: .relaxed) }

    /// True while less than the high-water mark of the configuration waits to be sent, and the connection is not full.
    ///
    /// False promises a call of `onWritable` of the handler, on the event loop, once half of that mark is reached and
    /// the connection has room. Messages may still be sent; it is the caller who bounds the memory.
    public final var isWritable: Bool {
        if hasRoom { return true }
        wantsWritable.store(true, ordering: .sequentiallyConsistent)
        // Looked at again: the last bytes may have left between the two lines.
        return hasRoom
    }

    private var hasRoom: Bool {
        pending.load(ordering: .sequentiallyConsistent) < connection.settings.pendingBytesHigh
            && !connection.isOutputFull.load(ordering: .sequentiallyConsistent)
    }

    /// True once the call has ended, for whatever reason: work for it may be dropped.
    public final var isClosed: Bool { closed.load(ordering: .acquiring) }

    /// Sends one message of a streaming call.
    public final func send(_ message: [UInt8]) {
        guard !isClosed else { return }
        noteQueued(message)
        if loop.eventLoop.inEventLoop {
            perform(.send(message))
        } else {
            loop.post(self, .send(message))
        }
    }

    /// Counts a message that `send` or a batch takes; the loop takes it off when the message has left.
    final func noteQueued(_ message: [UInt8]) { noteQueued(MessageAssembler.prefixLength + message.count) }

    final func noteQueued(_ count: Int) { pending.add(count, ordering: .sequentiallyConsistent) }

    // MARK: Receiving

    /// Stops handing back credit to the peer: it can send one stream window more, then it must wait.
    ///
    /// Messages that have been received already are still delivered.
    public final func pauseReading() { setReading(false) }

    /// Hands back the credit withheld by `pauseReading`.
    public final func resumeReading() { setReading(true) }

    private func setReading(_ reading: Bool) {
        if loop.eventLoop.inEventLoop {
            perform(.setReading(reading))
        } else {
            loop.post(self, .setReading(reading))
        }
    }

    // MARK: On the loop, for both sides

    final func enqueue(_ message: [UInt8]) {
        outbound.append(message)
        connection.outputQueued(outbound.byteCount(of: message))
    }

    /// Tells nghttp2 that there is data, or the end, if it waits for that.
    final func resumeIfDeferred() {
        guard isDeferred, let session = connection.session else { return }
        isDeferred = false
        nghttp2_session_resume_data(session, streamID)
    }

    /// Moves bytes from the queue to the connection's output.
    final func move(_ count: Int, to buffer: inout ByteBuffer) {
        outbound.move(count, to: &buffer)
        connection.outputLeft(count)
        connection.dataLeaves(count)
        if countsPending { noteSent(count) }
    }

    private func noteSent(_ count: Int) {
        let left = pending.subtract(count, ordering: .sequentiallyConsistent).newValue
        if left < connection.settings.pendingBytesHigh / 2, takeWish() { connection.becameWritable.append(self) }
    }

    /// Whether somebody waits to hear that the call is writable; they do no longer.
    final func takeWish() -> Bool {
        wantsWritable.load(ordering: .sequentiallyConsistent)
            && wantsWritable.exchange(false, ordering: .sequentiallyConsistent)
    }

    /// Puts a wish back that could not be granted.
    final func returnWish() { wantsWritable.store(true, ordering: .sequentiallyConsistent) }

    /// Drops what waits to be sent.
    final func dropOutbound() {
        connection.outputLeft(outbound.removeAll())
    }

    final func applyReading(_ reading: Bool) {
        isReadingPaused = !reading
        guard reading, unconsumedBytes > 0, let session = connection.session else { return }
        nghttp2_session_consume_stream(session, streamID, unconsumedBytes)
        unconsumedBytes = 0
        connection.setNeedsDrain()
    }

    /// Feeds received bytes to the assembler. `body` may end the call, so the assembler is not held meanwhile.
    @inline(__always)
    final func assemble(
        _ chunk: UnsafeRawBufferPointer, limit: Int, _ body: (RawSpan) -> Void
    ) throws(MessageAssembler.Problem) {
        var working = MessageAssembler()
        swap(&working, &assembler)
        try working.feed(chunk, limit: limit) { message in
            body(message)
            return !hasEnded
        }
        if !hasEnded { swap(&working, &assembler) }
    }

    // MARK: What each side does in its own way; on the loop

    func perform(_ work: CallWork) { preconditionFailure("abstract") }
    func deadlineExpired() { preconditionFailure("abstract") }
    func becameWritable() { preconditionFailure("abstract") }
    /// Called when nghttp2 has sent all data of the stream; queues the trailers where there are some.
    func submitTrailers(_ session: OpaquePointer) -> Bool { true }
    /// True if trailers, not data, end the stream.
    var endsWithTrailers: Bool { false }
}
