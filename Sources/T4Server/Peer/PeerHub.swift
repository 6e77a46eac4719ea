import Logging
import RPC
import Synchronization
import T4Core

/// Which nodes are connected, and what is heard from them.
final class PeerHub: Sendable {
    private struct Peer {
        var stream: PeerStream
        var identity: PeerIdentity
    }

    /// A stream that this node is about to open.
    private struct Dial {
        /// Sent once it is open; the newest one.
        var greeting: ReplicaMessage?
    }

    private enum Event {
        case received(PeerDelivery)
        case disconnected(String)
    }

    private struct State {
        /// Nil before this node listens, and once it stops.
        var own: PeerIdentity?
        var delegate: (any PeerDelegate)?
        /// By instance.
        var peers: [String: Peer] = [:]
        /// By address.
        var dials: [String: Dial] = [:]
        /// What the delegate has not heard yet, in order.
        var events: [Event] = []
        var isDelivering = false
        var notices = PeerNotices()
    }

    let configuration: PeerConfiguration
    let seed: PeerSeed
    private let logger: Logger
    private let state: Mutex<State>

    init(_ configuration: PeerConfiguration, delegate: any PeerDelegate, logger: Logger) {
        self.configuration = configuration
        seed = PeerSeed(configuration.databaseID)
        self.logger = logger
        state = Mutex(State(delegate: delegate))
    }

    /// This node listens.
    func open(_ own: PeerIdentity) { state.withLock { $0.own = own } }

    /// Nothing is accepted any more, and nobody is told of what ends now.
    /// - Returns: What is open.
    func stop() -> [PeerStream] {
        state.withLock { state in
            defer {
                state.own = nil
                state.peers = [:]
                state.dials = [:]
                state.events = []
            }
            return state.peers.values.map(\.stream)
        }
    }

    /// Nobody is called any more.
    func forgetDelegate() { state.withLock { $0.delegate = nil } }

    /// Who answers questions; nil once the node stops.
    var answering: (own: PeerIdentity, delegate: any PeerDelegate)? {
        state.withLock { state in
            guard let own = state.own, let delegate = state.delegate else { return nil }
            return (own, delegate)
        }
    }

    var own: PeerIdentity? { state.withLock { $0.own } }

    /// Who is connected, in the order of their instances.
    var identities: [PeerIdentity] {
        state.withLock { $0.peers.values.map(\.identity).sorted { $0.instanceID < $1.instanceID } }
    }

    func stream(to instance: String) -> PeerStream? { state.withLock { $0.peers[instance]?.stream } }

    /// Where an instance is reached that is connected.
    func address(of instance: String) -> String? {
        state.withLock { state in
            state.peers[instance].map { $0.stream.dialled ?? $0.identity.address }
        }
    }

    /// A stream to this address is about to be opened.
    func isDialling(_ address: String) -> Bool { state.withLock { $0.dials[address] != nil } }

    // MARK: Streams begin and end

    enum Greeting {
        case send(PeerStream)
        case dial
        case waits
        case nowhere
    }

    /// What becomes of a message for whoever is at an address.
    func greet(_ address: String, _ message: ReplicaMessage) -> Greeting {
        state.withLock { state in
            guard let own = state.own, address != own.address else { return .nowhere }
            let known = state.peers.values.first { $0.stream.dialled == address || $0.identity.address == address }
            if let known { return .send(known.stream) }
            let isUnderWay = state.dials[address] != nil
            state.dials[address] = Dial(greeting: message)
            return isUnderWay ? .waits : .dial
        }
    }

    /// No stream could be opened.
    func dialFailed(_ address: String, _ reason: String) {
        state.withLock { $0.dials[address] = nil }
        tell(of: address, "a node cannot be reached", reason, at: address)
    }

    /// A node has said who it is: takes the stream to it, or refuses.
    ///
    /// Of two streams between the same two processes that stays which the node with the lower instance has dialled, which closes the
    /// other; and of two in the same direction the newer one. What still comes on the other one is heard.
    func accept(_ stream: PeerStream, _ other: PeerIdentity) throws(PeerRefusal) {
        let (closing, greeting, taken) = try state.withLock {
            state throws(PeerRefusal) -> (PeerStream?, ReplicaMessage?, PeerStream) in
            guard let own = state.own else { throw .stopping }
            try own.check(other)
            var closing: PeerStream?
            if let current = state.peers[other.instanceID] {
                guard current.identity.process == other.process else { throw .instanceInUse(other) }
                let isDialled = stream.dialled != nil
                if isDialled == (current.stream.dialled != nil) {
                    // The other process knows that the one before is lost.
                    state.events.append(.disconnected(other.instanceID))
                    closing = current.stream
                } else if isDialled, other.instanceID < own.instanceID {
                    // The other node has taken this stream before it heard that this one has taken its own. It closes this one
                    // as soon as it hears that: if this one did, it might hear that first, and take it for a loss.
                    stream.noteAccepted()
                    let greeting = stream.dialled.flatMap { state.dials.removeValue(forKey: $0)?.greeting }
                    return (nil, greeting, current.stream)
                } else {
                    guard isDialled == (own.instanceID < other.instanceID) else { throw .connected }
                    // The one who has dialled hears last that both are there.
                    closing = isDialled ? current.stream : nil
                }
            }
            state.peers[other.instanceID] = Peer(stream: stream, identity: other)
            stream.noteAccepted()
            state.notices.forget([other.instanceID, other.address, stream.dialled ?? other.address])
            // Before anybody else sends on it.
            if stream.dialled == nil { stream.introduce(own) }
            let greeting = state.dials[stream.dialled ?? other.address]?.greeting
            if let dialled = stream.dialled {
                state.dials[dialled] = nil
            } else {
                state.dials[other.address]?.greeting = nil
            }
            return (closing, greeting, stream)
        }
        if let greeting { _ = taken.send(PeerMessage(greeting)) }
        guard taken === stream else { return }
        logger.info(
            "a node is connected",
            metadata: [
                "node": "\(other.nodeID)", "instance": "\(other.instanceID)", "address": "\(other.address)",
                "dialled": "\(stream.dialled != nil)",
            ])
        closing?.close(PeerRefusal.connected.status)
        deliver()
    }

    /// Says on a stream who this node is, although it is refused.
    func introduce(on stream: PeerStream) {
        if let own { stream.introduce(own) }
    }

    /// A stream is over.
    /// - Parameter reason: What the other node says about it, where it has not let this one in.
    func ended(_ stream: PeerStream, _ reason: PeerRefusal?) {
        let (lost, failed) = state.withLock { state -> (PeerIdentity?, String?) in
            if let peer = state.peers.first(where: { $0.value.stream === stream }) {
                state.peers[peer.key] = nil
                state.events.append(.disconnected(peer.key))
                return (peer.value.identity, nil)
            }
            guard let address = stream.dialled, !stream.wasAccepted else { return (nil, nil) }
            return (nil, state.dials.removeValue(forKey: address) == nil ? nil : address)
        }
        if let lost {
            logger.info(
                "a node is no longer connected",
                metadata: ["node": "\(lost.nodeID)", "instance": "\(lost.instanceID)", "address": "\(lost.address)"])
        }
        if let failed, let reason { tell(of: failed, "a node does not take this one", reason, at: failed) }
        deliver()
    }

    // MARK: What the delegate hears

    func received(_ delivery: PeerDelivery) {
        state.withLock { state in
            if state.own != nil { state.events.append(.received(delivery)) }
        }
        deliver()
    }

    /// Calls the delegate, one thread at a time and in the order in which things happened.
    private func deliver() {
        let isMine = state.withLock { state in
            guard !state.isDelivering, !state.events.isEmpty else { return false }
            state.isDelivering = true
            return true
        }
        guard isMine else { return }
        while true {
            let (events, delegate) = state.withLock { state -> ([Event], (any PeerDelegate)?) in
                defer { state.events = [] }
                if state.events.isEmpty { state.isDelivering = false }
                return (state.events, state.delegate)
            }
            guard !events.isEmpty else { return }
            for event in events {
                switch event {
                case .received(let delivery): delegate?.received(delivery)
                case .disconnected(let instance): delegate?.disconnected(instance)
                }
            }
        }
    }

    // MARK: The log

    /// Says something about a peer, once until it is connected.
    /// - Parameter peer: Its instance or, where that is not known, its address.
    func tell(of peer: String, _ what: String, _ reason: some CustomStringConvertible, at address: String) {
        let text = "\(what): \(reason)"
        guard state.withLock({ $0.notices.isNew(text, of: peer) }) else { return }
        logger.warning("\(text)", metadata: ["peer": "\(peer)", "address": "\(address)"])
    }
}
