import Foundation
import Synchronization
import T4Conformance

/// The network between the nodes of a cluster and their store: proxies on 127.0.0.1, which need no privileges.
///
/// A connection is that of the process which made it, so that each pair of nodes can be cut, in each direction. What is cut is
/// held back: as in a network, it arrives later if the connection lives until then, and new connections come about
/// once both directions pass.
final class Wires: Sendable {
    /// What becomes of bytes in one direction.
    enum State: Hashable, Sendable {
        case passes
        case cut
        /// So many pieces of a hundred wait for up to so long, as they do where TCP has to repeat what was lost.
        case lossy(percent: Int, delay: Duration)
        /// Connections are reset, new ones too.
        case resets
    }

    enum Place: Hashable, Sendable, CustomStringConvertible {
        case node(Int)
        case store

        var description: String {
            switch self {
            case .node(let number): "\(number)"
            case .store: "store"
            }
        }
    }

    struct Direction: Hashable, Sendable, CustomStringConvertible {
        var from: Place
        var to: Place

        var description: String { "\(from)→\(to)" }
    }

    /// What the threads of tests say.
    struct Orders: Sendable {
        var states: [Direction: State] = [:]
        var processes: [Place: pid_t] = [:]
        var isOver = false

        subscript(from: Place, to: Place) -> State { states[Direction(from: from, to: to)] ?? .passes }
    }

    /// A port at which connections to a place begin.
    struct Door: Sendable {
        var listener: Int32
        var port: UInt16
        var to: Place
        /// The port of the place itself.
        var target: UInt16
        /// Who dials here; nil: one of the processes.
        var from: Place?
    }

    private let orders = Mutex(Orders())
    private let doors: [Door]
    private let wake: (read: Int32, write: Int32)

    /// Opens a door to each node and, for each, one to the store.
    /// - Parameters:
    ///   - peers: The ports at which nodes listen for others.
    ///   - store: The port of the store.
    init(peers: [Int: UInt16], store: UInt16, seed: UInt64) throws {
        var doors: [Door] = []
        for (number, target) in peers {
            let (listener, port) = try Sockets.listen()
            doors.append(Door(listener: listener, port: port, to: .node(number), target: target, from: nil))
            let (other, otherPort) = try Sockets.listen()
            doors.append(Door(listener: other, port: otherPort, to: .store, target: store, from: .node(number)))
        }
        var pair: [Int32] = [-1, -1]
        guard pipe(&pair) == 0 else { throw ProcessFailure("pipe", errno) }
        pair.forEach(Sockets.neverBlock)
        self.doors = doors
        wake = (pair[0], pair[1])
        let exchange = WireExchange(doors: doors, wake: pair[0], seed: seed) { [weak self] in
            self?.orders.withLock { $0 } ?? Orders(isOver: true)
        }
        Thread.detachNewThread { exchange.run() }
    }

    /// Where others reach a node.
    func peerPort(of number: Int) -> UInt16? { doors.first { $0.to == .node(number) }?.port }
    /// Where a node reaches the store.
    func storePort(for number: Int) -> UInt16? { doors.first { $0.from == .node(number) }?.port }

    /// A node has a new process.
    func runs(_ number: Int, _ process: pid_t) { change { $0.processes[.node(number)] = process } }

    func set(_ directions: [Direction], _ state: State) {
        change { orders in for direction in directions { orders.states[direction] = state } }
    }

    /// Everything passes.
    func heal() { change { $0.states = [:] } }

    private func change(_ body: (inout Orders) -> Void) {
        orders.withLock { body(&$0) }
        var one: UInt8 = 1
        _ = write(wake.write, &one, 1)
    }

    deinit {
        // The thread closes its end, and everything else.
        close(wake.write)
    }
}
