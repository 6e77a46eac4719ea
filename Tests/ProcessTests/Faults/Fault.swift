import Foundation
import T4Conformance

/// Something that happens to a cluster for a while.
enum Fault: Sendable, CustomStringConvertible {
    /// kill -9, and a new start, perhaps with an empty disk.
    case kill(Int, losesDisk: Bool)
    /// Stands still.
    case stop(Int)
    /// Ends in good order and is started again.
    case end(Int)
    /// All nodes but one end, one after the other, and come back.
    case shrink(to: Int)
    case handOver(to: Int)
    case network([Wires.Direction], Wires.State)
    case slowDisk(Int, Duration)
    case fullDisk(Int)
    /// The wall clock jumps, and stays so.
    case clock(Int, hours: Int)

    var description: String {
        switch self {
        case .kill(let node, let losesDisk): "kill \(node)\(losesDisk ? ", disk lost" : "")"
        case .stop(let node): "stop \(node)"
        case .end(let node): "end \(node)"
        case .shrink(let node): "shrink to \(node)"
        case .handOver(let node): "hand over to \(node)"
        case .network(let directions, let state):
            "network \(directions.map(\.description).joined(separator: " ")): \(state)"
        case .slowDisk(let node, let delay): "slow disk of \(node): \(delay)"
        case .fullDisk(let node): "full disk of \(node)"
        case .clock(let node, let hours): "clock of \(node): \(hours) h"
        }
    }

    /// Any one, of the leader half of the time.
    static func random(leader: Int, of numbers: [Int], using random: inout SeededGenerator) -> Fault {
        let victim = Bool.random(using: &random) ? leader : numbers.randomElement(using: &random)!
        switch Int.random(in: 0..<20, using: &random) {
        case 0, 1, 2: return .kill(victim, losesDisk: Int.random(in: 0..<3, using: &random) == 0)
        case 3, 4: return .stop(victim)
        case 5: return .end(victim)
        case 6: return .handOver(to: numbers.filter { $0 != leader }.randomElement(using: &random)!)
        case 7: return .shrink(to: victim)
        case 8: return .slowDisk(victim, .milliseconds(Int.random(in: 20...2500, using: &random)))
        case 9: return .fullDisk(victim)
        case 10, 11: return .clock(victim, hours: Int.random(in: -30...30, using: &random))
        default:
            return .network(directions(victim, numbers, using: &random), state(using: &random))
        }
    }

    private static func state(using random: inout SeededGenerator) -> Wires.State {
        switch Int.random(in: 0..<6, using: &random) {
        case 0: .resets
        case 1, 2:
            .lossy(
                percent: Int.random(in: 2...50, using: &random),
                delay: .milliseconds(Int.random(in: 20...1500, using: &random)))
        default: .cut
        }
    }

    /// Some that have to do with a node.
    private static func directions(
        _ victim: Int, _ numbers: [Int], using random: inout SeededGenerator
    ) -> [Wires.Direction] {
        let others = numbers.filter { $0 != victim }.map { Wires.Place.node($0) }
        let ends: [Wires.Place] =
            switch Int.random(in: 0..<8, using: &random) {
            case 0, 1, 2: [others.randomElement(using: &random)!]
            case 3, 4: others
            case 5: [.store]
            case 6: others + [.store]
            default: [others.randomElement(using: &random)!, .store]
            }
        let there = ends.map { Wires.Direction(from: .node(victim), to: $0) }
        let back = ends.map { Wires.Direction(from: $0, to: .node(victim)) }
        switch Int.random(in: 0..<4, using: &random) {
        case 0: return there
        case 1: return back
        default: return there + back
        }
    }
}

extension FaultyCluster {
    /// Makes a fault, and ends it after a time.
    func suffer(_ fault: Fault, for time: Duration) async throws {
        switch fault {
        case .kill(let node, let losesDisk):
            // What was acknowledged by two disks is not to be lost by another.
            if losesDisk { try await cluster.untilInSync(3) }
            try await cluster.crash(node)
            await pause(time)
            if losesDisk { try cluster.loseDisk(node) }
            try await cluster.start(node)
        case .stop(let node):
            let process = try cluster.node(node).process
            process.signal(SIGSTOP)
            await pause(time)
            process.signal(SIGCONT)
        case .end(let node):
            try await stopInOrder(node)
            await pause(time)
            try await cluster.start(node)
        case .shrink(let last):
            let others = numbers.filter { $0 != last }
            for node in others {
                try await stopInOrder(node)
                await pause(time / 2)
            }
            for node in others { try await cluster.start(node) }
        case .handOver(let heir): try await handOver(to: heir)
        case .network(let directions, let state):
            wires.set(directions, state)
            await pause(time)
            wires.set(directions, .passes)
        case .slowDisk(let node, let delay):
            try shim(node).setSyncDelay(delay)
            await pause(time)
            try shim(node).setSyncDelay(.zero)
        case .fullDisk(let node):
            try shim(node).setDisk(isFull: true)
            await pause(time)
            try shim(node).setDisk(isFull: false)
            try await startWhoEnded()
        case .clock(let node, let hours):
            try shim(node).setClock(ahead: .seconds(3600 * hours))
            await pause(time)
        }
    }

    private func stopInOrder(_ node: Int) async throws {
        let status = try await cluster.stop(node)
        guard status == .code(0) else { throw ProcessFailure("node \(node) ended with \(status)") }
    }

    /// Nodes that have ended, because their disks refused, are started by whoever runs them.
    func startWhoEnded() async throws {
        for node in numbers where try !cluster.node(node).process.isRunning {
            try await cluster.crash(node)
            try await cluster.start(node)
        }
    }
}
