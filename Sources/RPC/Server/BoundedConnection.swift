import NIOCore

/// What the loop of a server asks of its connections to keep the server within its limits.
protocol BoundedConnection: AnyObject {
    /// Memory that it takes from the loop's share.
    var bufferedBytes: Int { get }
    /// As much of it as only the client itself can have grow.
    var bytesOwed: Int { get }
    /// For seconds next to nothing has moved of what waits.
    var isStalled: Bool { get }
    /// What waits would be there for more than a minute.
    var isSlow: Bool { get }

    /// Looks how fast the client goes; to be called several times in a second while memory is scarce.
    func lookAtPace(at time: NIODeadline)
    func forgetPace()
    /// Closes the connection for what the client did.
    func cutOff(_ fault: ClientFault)
    /// Looks for what is overdue.
    func sweep(handshakes: NIODeadline, requests: NIODeadline)
    /// Sends what there is.
    func drain()
    /// Goes on with what waits for room.
    func lookForRoom()
    /// Takes no more requests, and closes after those that run.
    func beginShutdown()
}
