import NIOCore
import NIOPosix

/// Threads with an event loop each, shared by clients.
///
/// A client stays on one loop for life; several clients are spread over the loops.
public final class RPCEventLoops: Sendable {
    private let group: MultiThreadedEventLoopGroup

    /// Starts the threads.
    /// - Parameter threads: 1 or more.
    public init(threads: Int) {
        precondition(threads > 0)
        group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
    }

    func next() -> any EventLoop { group.next() }

    /// Ends the threads. Close the clients first.
    /// - Throws: what the event loops report; the threads are to be considered lost.
    public func shutdown() async throws {
        try await group.shutdownGracefully()
    }
}
