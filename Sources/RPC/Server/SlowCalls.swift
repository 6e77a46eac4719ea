import Synchronization

/// A unary call that took long, for whoever looks after the server.
package struct SlowCall: Sendable {
    /// The path, as `/etcdserverpb.KV/Range`.
    package var path: String
    /// From the arrival of its headers to its end.
    package var time: Duration
    package var code: RPCStatus.Code
    /// Bytes of the messages; 0 for one that there was not.
    package var requestSize: Int
    package var responseSize: Int
    /// See `ServerCall.remark`.
    package var remark: (Int, Int)
    /// The client's address; nil if the transport has none.
    package var client: String?
}

/// Hears of unary calls that take longer than some time.
package final class SlowCalls: Sendable {
    private let threshold: Atomic<Int64>
    private let report: @Sendable (SlowCall) -> Void

    /// - Parameters:
    ///   - time: Calls that take so long or longer are reported; zero: none are.
    ///   - report: Called on the event loop of the call; must not block.
    package init(after time: Duration, report: @escaping @Sendable (SlowCall) -> Void) {
        threshold = Atomic(SlowCalls.nanoseconds(time))
        self.report = report
    }

    /// Counts from now on; from any thread.
    package func set(_ time: Duration) { threshold.store(SlowCalls.nanoseconds(time), ordering: .relaxed) }

    private static func nanoseconds(_ time: Duration) -> Int64 { time > .zero ? time.nanoseconds : .max }

    func isSlow(_ time: Int64) -> Bool { time >= threshold.load(ordering: .relaxed) }

    func tell(_ call: SlowCall) { report(call) }
}
