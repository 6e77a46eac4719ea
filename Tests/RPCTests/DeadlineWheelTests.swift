import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import RPC

/// The timer of a loop's deadlines runs on the loop, while the last connection may let go of the loop's context on any
/// thread.
@Suite struct DeadlineWheelTests {
    /// A context whose timer runs.
    private static func armed(on loop: any EventLoop, _ settings: ConnectionSettings) -> LoopContext {
        let context = LoopContext(eventLoop: loop)
        let call = RPCCall(connection: HTTP2Connection(loop: context, settings: settings), streamID: 1)
        let now = NIODeadline.now()
        context.deadlines.insert(call, of: context, deadline: now + .seconds(60), now: now)
        context.deadlines.remove(call)
        return context
    }

    @Test func aContextMayGoWhileItsTimerRuns() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        let settings = RPCClientConfiguration().connectionSettings
        for _ in 0..<10 {
            // The timers fire one after the other, which takes about as long as letting the contexts go.
            var contexts = try await loop.submit { (0..<4000).map { _ in Self.armed(on: loop, settings) } }.get()
            let timersRun = loop.scheduleTask(in: .milliseconds(10)) {}
            try await loop.submit {}.get()
            while let last = contexts.popLast() { withExtendedLifetime(last) {} }
            try await timersRun.futureResult.get()
        }
        try await group.shutdownGracefully()
    }
}
