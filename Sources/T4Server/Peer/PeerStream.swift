import RPC
import Synchronization
import T4Core

/// One stream between this node and another, whichever of them has dialled.
final class PeerStream: ServerStreamHandler, ClientStreamHandler, @unchecked Sendable {
    // Unchecked: `identity` is touched on the event loop of the call only.

    /// Received bytes that wait.
    private struct Inbox {
        var bytes = 0
        var isPaused = false
    }

    /// The address that this node has dialled; nil where the other one has.
    let dialled: String?
    private let call: RPCCall
    private let hub: PeerHub
    /// Keeps the connection.
    let client: RPCClient?
    /// Who is at the other end, once that is accepted.
    private var identity: PeerIdentity?
    private let inbox = Mutex(Inbox())
    /// One message at a time is put into the queue.
    private let queue = Mutex(())
    private let isClosed = Atomic(false)
    /// The stream was among the connected ones, whether or not it still is.
    private let isAccepted = Atomic(false)

    init(_ call: RPCCall, hub: PeerHub, dialled: (address: String, client: RPCClient)? = nil) {
        self.call = call
        self.hub = hub
        self.dialled = dialled?.address
        client = dialled?.client
    }

    // MARK: Sending

    /// Puts a message into the queue, as far as there is room.
    func send(_ message: PeerMessage) -> PeerSending {
        let configuration = hub.configuration
        var sent = 0
        for piece in message.split(bytesMax: configuration.pieceBytes) {
            let size = piece.entryBytes
            guard size <= configuration.messageBytesMax else { return .tooLarge(entriesQueued: sent) }
            let answer = queue.withLock { _ -> PeerSending? in
                guard !call.isClosed else { return .notConnected }
                let pending = call.pendingBytes
                guard pending == 0 || pending + size <= configuration.queueBytesMax else {
                    return .queueFull(entriesQueued: sent)
                }
                let bytes = piece.encoded(seed: hub.seed)
                guard bytes.count <= configuration.messageBytesMax else { return .tooLarge(entriesQueued: sent) }
                guard pending == 0 || pending + bytes.count <= configuration.queueBytesMax else {
                    return .queueFull(entriesQueued: sent)
                }
                call.send(bytes)
                return nil
            }
            if let answer { return answer }
            sent += piece.entries.count
        }
        return .queued
    }

    /// Says who this node is.
    func introduce(_ identity: PeerIdentity) { call.send(identity.encoded()) }

    var wasAccepted: Bool { isAccepted.load(ordering: .acquiring) }

    /// It is among the connected ones from now on.
    func noteAccepted() { isAccepted.store(true, ordering: .releasing) }

    /// Bytes that wait to be sent.
    var pendingBytes: Int { call.pendingBytes }

    /// Ends the stream; what waits is sent first where the other node has dialled.
    func close(_ status: RPCStatus) {
        guard !isClosed.exchange(true, ordering: .relaxed) else { return }
        if let call = call as? ServerCall {
            // Its handler hears nothing more.
            call.finish(status)
            hub.ended(self, nil)
        }
        if let call = call as? ClientCall, !call.isClosed { call.cancel() }
    }

    // MARK: Receiving

    func onMessage(_ message: RawSpan) {
        guard !isClosed.load(ordering: .relaxed) else { return }
        let bytes = message.copyBytes()
        guard let identity else { return begin(bytes) }
        do throws(PeerCodingError) {
            let read = try PeerMessage(bytes, from: identity.instanceID, seed: hub.seed)
            took(bytes.count)
            hub.received(PeerDelivery(read) { [weak self] in self?.gaveBack(bytes.count) })
        } catch {
            let refusal = PeerRefusal.malformed(error)
            hub.tell(
                of: identity.instanceID, "a node said something that cannot be read", refusal, at: identity.address)
            close(refusal.status)
        }
    }

    /// The other node says who it is.
    private func begin(_ bytes: [UInt8]) {
        do throws(PeerRefusal) {
            let other = try PeerIdentity.read(bytes)
            identity = other
            try hub.accept(self, other)
        } catch {
            let other = identity
            identity = nil
            let address = other?.address ?? dialled ?? (call as? ServerCall)?.remoteAddress ?? "unknown"
            if !error.isOrdinary {
                hub.tell(of: other?.instanceID ?? HostPort.host(of: address), "a node is refused", error, at: address)
            }
            if dialled == nil, error.isMutual { hub.introduce(on: self) }
            close(error.status)
        }
    }

    /// Received bytes wait; beyond the limit the other node has to stop.
    private func took(_ count: Int) {
        let pauses = inbox.withLock { inbox in
            inbox.bytes += count
            guard inbox.bytes > hub.configuration.inboxBytesMax, !inbox.isPaused else { return false }
            inbox.isPaused = true
            return true
        }
        if pauses { call.pauseReading() }
    }

    private func gaveBack(_ count: Int) {
        let resumes = inbox.withLock { inbox in
            inbox.bytes -= count
            guard inbox.isPaused, inbox.bytes <= hub.configuration.inboxBytesMax / 2 else { return false }
            inbox.isPaused = false
            return true
        }
        // The event loop may be gone with the call.
        if resumes, !call.isClosed { call.resumeReading() }
    }

    // MARK: The end

    func onEnd(_ status: RPCStatus) {
        let isOwn = isClosed.exchange(true, ordering: .relaxed)
        hub.ended(self, isOwn ? nil : PeerRefusal(status))
    }

    func onCancel(_ reason: CancelReason) { hub.ended(self, nil) }

    /// The other node has ended its side, which none does while it lives.
    func onHalfClose() { close(.ok) }

    func onWritable() {}
    func onWake() {}
}
