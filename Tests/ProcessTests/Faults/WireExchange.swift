import Foundation
import T4Conformance

/// The thread behind `Wires`: takes connections and carries their bytes.
final class WireExchange: @unchecked Sendable {
    // Unchecked: made by one thread and then used by another one only.

    private final class Connection {
        let from: Wires.Place
        let to: Wires.Place
        let target: UInt16
        let near: Int32
        /// -1 until both directions pass.
        var far: Int32 = -1
        var isConnected = false
        var there = Wire()
        var back = Wire()

        init(_ near: Int32, from: Wires.Place, to: Wires.Place, target: UInt16) {
            (self.near, self.from, self.to, self.target) = (near, from, to, target)
        }

        func abandon() {
            Sockets.reset(near)
            if far >= 0 { Sockets.reset(far) }
        }
    }

    private let doors: [Wires.Door]
    private let wake: Int32
    private let orders: @Sendable () -> Wires.Orders
    private var connections: [Connection] = []
    private var generator: SeededGenerator

    init(doors: [Wires.Door], wake: Int32, seed: UInt64, orders: @escaping @Sendable () -> Wires.Orders) {
        self.doors = doors
        self.wake = wake
        self.orders = orders
        generator = SeededGenerator(seed: seed)
    }

    func run() {
        while true {
            let orders = orders()
            if orders.isOver { break }
            let now = ContinuousClock.now
            keep { advance($0, orders) }
            let (entries, limit) = interests(orders, now)
            let ready = wait(entries, limit)
            if ready.isEmpty { continue }
            serve(ready, orders)
        }
        for connection in connections { connection.abandon() }
        for door in doors { close(door.listener) }
        close(wake)
    }

    private func keep(where isAlive: (Connection) -> Bool) {
        connections.removeAll { connection in
            if isAlive(connection) { return false }
            connection.abandon()
            return true
        }
    }

    /// What follows from orders alone.
    /// - Returns: False where the connection is over.
    private func advance(_ connection: Connection, _ orders: Wires.Orders) -> Bool {
        let there = orders[connection.from, connection.to]
        let back = orders[connection.to, connection.from]
        if there == .resets || back == .resets { return false }
        if connection.there.isOver && connection.back.isOver { return false }
        if connection.far < 0 {
            // Who dials has given up before anybody heard of it.
            if connection.there.hasEnded { return false }
            guard there != .cut, back != .cut else { return true }
            do { connection.far = try Sockets.connect(to: connection.target) } catch { return false }
        }
        return true
    }

    /// What to wait for: first the wake, then the doors, then both ends of each connection.
    private func interests(_ orders: Wires.Orders, _ now: ContinuousClock.Instant) -> ([pollfd], Duration?) {
        var entries = [pollfd(fd: wake, events: Int16(POLLIN), revents: 0)]
        entries += doors.map { pollfd(fd: $0.listener, events: Int16(POLLIN), revents: 0) }
        var first: ContinuousClock.Instant?
        for connection in connections {
            let states = (orders[connection.from, connection.to], orders[connection.to, connection.from])
            let hasRoom = connection.isConnected
            entries.append(
                interest(
                    connection.near, reads: connection.there,
                    writes: hasRoom && connection.back.wantsRoom(states.1, now)))
            entries.append(
                interest(
                    connection.far, reads: connection.back,
                    writes: !hasRoom || connection.there.wantsRoom(states.0, now)))
            guard hasRoom else { continue }
            for due in [connection.there.wakes(states.0), connection.back.wakes(states.1)] {
                if let due { first = min(first ?? due, due) }
            }
        }
        return (entries, first.map { max($0 - now, .zero) })
    }

    /// A socket of which nothing is wanted is left out: its end would be told again and again.
    private func interest(_ socket: Int32, reads: Wire, writes: Bool) -> pollfd {
        let events = (reads.wantsBytes ? Int32(POLLIN) : 0) | (writes ? Int32(POLLOUT) : 0)
        return pollfd(fd: events == 0 ? -1 : socket, events: Int16(events), revents: 0)
    }

    private func wait(_ entries: [pollfd], _ limit: Duration?) -> [pollfd] {
        var entries = entries
        let milliseconds = limit.map { Int32($0 / .milliseconds(1)) + 1 } ?? -1
        return poll(&entries, nfds_t(entries.count), milliseconds) > 0 ? entries : []
    }

    private func serve(_ ready: [pollfd], _ orders: Wires.Orders) {
        let now = ContinuousClock.now
        if ready[0].revents != 0 {
            var bytes = [UInt8](repeating: 0, count: 256)
            _ = read(wake, &bytes, bytes.count)
        }
        let firstEnd = 1 + doors.count
        var ends = ready[firstEnd...]
        keep { carry($0, ends.removeFirst(), ends.removeFirst(), orders, now) }
        for (door, entry) in zip(doors, ready[1...]) where entry.revents != 0 {
            guard let (socket, port) = Sockets.accept(door.listener) else { continue }
            guard
                let from = door.from
                    ?? SocketOwners.owner(of: port, connectedTo: door.port, among: orders.processes)
            else {
                Sockets.reset(socket)
                continue
            }
            connections.append(Connection(socket, from: from, to: door.to, target: door.target))
        }
    }

    private func carry(
        _ connection: Connection, _ near: pollfd, _ far: pollfd, _ orders: Wires.Orders,
        _ now: ContinuousClock.Instant
    ) -> Bool {
        let there = orders[connection.from, connection.to]
        let back = orders[connection.to, connection.from]
        if !connection.isConnected, far.fd >= 0, far.revents != 0 {
            guard Sockets.outcome(of: far.fd) == 0 else { return false }
            connection.isConnected = true
        }
        let mayRead = Int16(POLLIN | POLLHUP | POLLERR)
        if near.fd >= 0, near.revents & mayRead != 0 {
            connection.there.read(from: near.fd, there, now, using: &generator)
        }
        guard connection.isConnected else { return true }
        if far.fd >= 0, far.revents & mayRead != 0 {
            connection.back.read(from: far.fd, back, now, using: &generator)
        }
        if connection.there.wantsRoom(there, now), !connection.there.write(to: connection.far) { return false }
        if connection.back.wantsRoom(back, now), !connection.back.write(to: connection.near) { return false }
        return true
    }
}
