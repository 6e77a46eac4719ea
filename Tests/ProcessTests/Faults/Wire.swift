import Foundation
import T4Conformance

/// One direction of a connection, from one socket to another, through a buffer.
struct Wire {
    /// How the sending end has ended.
    private enum End { case none, inOrder, broken }

    /// Read before it may be written.
    private static let roomMax = 1 << 20
    private var buffer: [UInt8] = []
    private var end = End.none
    /// When what is in the buffer may go on.
    private var due: ContinuousClock.Instant?
    /// Everything has gone on, the end too.
    private(set) var isOver = false

    /// Whether there is something to read, as far as this is concerned.
    var wantsBytes: Bool { end == .none && buffer.count < Wire.roomMax }
    /// The sending end is heard no more.
    var hasEnded: Bool { end != .none }
    /// Something waits, be it the end.
    private var isWaiting: Bool { !isOver && (!buffer.isEmpty || end != .none) }

    func wantsRoom(_ state: Wires.State, _ now: ContinuousClock.Instant) -> Bool {
        isWaiting && state != .cut && due.map { $0 <= now } ?? true
    }

    /// When it is worth to look again, of what waits only for time to pass.
    func wakes(_ state: Wires.State) -> ContinuousClock.Instant? { isWaiting && state != .cut ? due : nil }

    /// Reads what has come.
    mutating func read(
        from socket: Int32, _ state: Wires.State, _ now: ContinuousClock.Instant,
        using generator: inout SeededGenerator
    ) {
        guard end == .none else { return }
        let wasEmpty = buffer.isEmpty
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        let count = Foundation.read(socket, &piece, piece.count)
        if count > 0 {
            buffer += piece[..<count]
        } else if count == 0 {
            end = .inOrder
        } else if errno != EAGAIN, errno != EINTR {
            end = .broken
        } else {
            return
        }
        if wasEmpty {
            due = nil
            if case .lossy(let percent, let delay) = state, Int.random(in: 0..<100, using: &generator) < percent {
                due = now + delay * Double.random(in: 0.2...1, using: &generator)
            }
        }
    }

    /// Passes on what waits, as far as there is room.
    /// - Returns: False where the connection is to be broken off.
    mutating func write(to socket: Int32) -> Bool {
        due = nil
        while !buffer.isEmpty {
            let count = buffer.withUnsafeBytes {
                Foundation.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EAGAIN || errno == EINTR { return true }
            guard count > 0 else { return false }
            buffer.removeFirst(count)
        }
        switch end {
        case .none: break
        case .inOrder:
            shutdown(socket, Int32(SHUT_WR))
            isOver = true
        case .broken: return false
        }
        return true
    }
}
