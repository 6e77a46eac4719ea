import CNGHTTP2
import NIOCore
import Synchronization

/// What keeps a connection within its limits.
extension ServerConnection {
    /// Counted for a frame that waits in nghttp2, in bytes: the item and a small header block.
    private static let frameBytes = 512
    /// Frames that may wait unread beside the answers of all streams.
    private static let framesSpare = 10_000

    /// Memory that this connection takes from the loop's share.
    var bufferedBytes: Int { outputBytesCounted + requestBytesHeld + frameBytesHeld }

    private var frameBytesHeld: Int { framesCounted * Self.frameBytes }

    /// As much of it as only the client itself can have grow: requests, frames, and answers to messages that it goes on
    /// to send when the connection is full.
    var bytesOwed: Int { requestBytesHeld + frameBytesHeld + max(0, outputBytesCounted - settings.outputBytesMax) }

    // MARK: Requests that wait

    /// A unary request that comes now is not handled yet: there is no room, or others were there first.
    var mustWait: Bool { !parked.isEmpty || hasNoRoom }

    /// Too many answers wait already, here or altogether. Where next to nothing waits only memory that is used up counts,
    /// and then somebody is cut off soon.
    private var hasNoRoom: Bool {
        isOutputFull.load(ordering: .relaxed)
            || loop.isMemoryScarce && (outputBytesQueued > settings.pendingBytesHigh || loop.isMemoryUsedUp)
    }

    /// Has a unary request, which has come whole, wait for its turn.
    func park(_ call: ServerCall) {
        parked.append(call, openCount: calls.count)
        if loop.isMemoryScarce { loop.isRoomWanted = true }
    }

    /// Requests that are no gRPC and run at once. Their answers are not made here, so that there is no room for an answer to
    /// ask for before all of them have begun.
    private static let webRunningMax = 256

    /// Such a request that comes now waits for its turn.
    var webMustWait: Bool { !parkedWeb.isEmpty || webRunning >= Self.webRunningMax || hasNoRoom }

    /// Has such a request wait.
    func parkWeb(_ call: ServerCall) {
        parkedWeb.append(call, openCount: calls.count)
        if loop.isMemoryScarce { loop.isRoomWanted = true }
    }

    /// Handles requests that wait, as many as there is room for the answers of.
    func handleParked() -> Bool {
        var used = false
        while !hasNoRoom, webRunning < Self.webRunningMax, let call = parkedWeb.popFirst() {
            call.handle()
            used = true
        }
        while !hasNoRoom, let call = parked.popFirst() {
            call.handle()
            used = true
        }
        if loop.isMemoryScarce, waitsForRoom { loop.isRoomWanted = true }
        return used
    }

    // MARK: Frames

    /// A frame came that asks for nothing or is wrong, or a stream had to be reset.
    func askedForNothing() {
        if !uselessFrames.take(at: .now()) { cutOff(.uselessFrames) }
    }

    func tookBytes(_ count: Int) {
        bytesReceived += count
        countFrames()
        let framesMax = min(shared.configuration.concurrentStreamsMax, 1 << 20) + Self.framesSpare
        if framesCounted > framesMax { cutOff(.unreadFrames) }
    }

    /// Counts the frames that wait in nghttp2; none do when the session is gone.
    func countFrames() {
        let count = session.map(nghttp2_session_get_outbound_queue_size) ?? 0
        guard count != framesCounted else { return }
        loop.buffered((count - framesCounted) * Self.frameBytes)
        framesCounted = count
    }

    // MARK: Cutting off

    /// Closes the connection for what the client did. It is told as far as it reads; what waits for it is dropped.
    func cutOff(_ fault: ClientFault) {
        guard let session, !closesAfterDrain else { return }
        shared.faults.note(fault, from: remoteAddress)
        closesAfterDrain = true
        let text = Array(fault.text.utf8)
        nghttp2_submit_goaway(
            session, SessionSupport.noFlags, nghttp2_session_get_last_proc_stream_id(session),
            NGHTTP2_ENHANCE_YOUR_CALM.rawValue, text, text.count)
        for call in calls { Self.serverCall(call).cutOff() }
        parked.removeAll()
        parkedWeb.removeAll()
        setNeedsDrain()
    }

    /// Looks how fast the client goes; to be called several times in a second while memory is scarce.
    func lookAtPace(at time: NIODeadline) {
        // What a handler of such a request holds changes by itself.
        if web != nil {
            for call in calls where Self.serverCall(call).web != nil { Self.serverCall(call).updateHeldBytes() }
        }
        let spare = settings.pendingBytesHigh
        let stall = Double(shared.configuration.stallTime.nanoseconds) / 1e9
        reading.look(
            held: outputBytesCounted + frameBytesHeld, spare: spare, moved: outputBytesGone, at: time,
            stallSeconds: stall)
        // Neither requests that wait for us nor metadata of open streams are to move.
        let incomplete = requestBytesHeld - metadataBytesHeld - parked.bytesHeld - parkedWeb.bytesHeld
        sending.look(held: incomplete, spare: spare, moved: bytesReceived, at: time, stallSeconds: stall)
    }

    func forgetPace() {
        reading = Pace()
        sending = Pace()
    }

    var isStalled: Bool { reading.isStalled || sending.isStalled }
    var isSlow: Bool { reading.isSlow || sending.isSlow }

    /// Looks for what is overdue.
    /// - Parameters:
    ///   - handshakes: Connections from before this time must have sent their settings.
    ///   - requests: What began before this time must have come whole.
    func sweep(handshakes: NIODeadline, requests: NIODeadline) {
        if !hasHandshake, openedAt < handshakes { return cutOff(.noHandshake) }
        if let headerCall, headerCall.isOverdue(since: requests) { return cutOff(.slowHeaders) }
        for call in calls.map(Self.serverCall) where call.isOverdue(since: requests) {
            shared.faults.note(.slowRequest, from: remoteAddress)
            call.overdue()
        }
    }
}
