/// Unary calls whose requests have come and that wait, in order, until answers for their client find room.
struct ParkedCalls {
    private var calls: [ServerCall] = []
    private var head = 0

    /// Calls in memory, ended ones included; for tests.
    var storedCount: Int { calls.count }

    var isEmpty: Bool { calls.isEmpty }

    /// Bytes of the requests, without metadata.
    var bytesHeld: Int { calls[head...].reduce(0) { $0 + $1.bodyBytesHeld } }

    /// - Parameter openCount: Calls of the connection that are open: what has ended meanwhile is let go in time.
    mutating func append(_ call: ServerCall, openCount: Int) {
        if calls.count > 2 * openCount + 64 {
            calls = calls[head...].filter { !$0.hasEnded }
            head = 0
        }
        calls.append(call)
    }

    mutating func popFirst() -> ServerCall? {
        guard head < calls.count else { return nil }
        defer {
            head += 1
            if head == calls.count { self = ParkedCalls() }
        }
        return calls[head]
    }

    mutating func removeAll() { self = ParkedCalls() }
}
