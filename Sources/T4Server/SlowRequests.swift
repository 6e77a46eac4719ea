public import Logging
import RPC
import Synchronization
import T4Core

/// Tells in the log of requests that took long: which, how long, and how large they were, never what they say.
///
/// Only requests with one answer count; those that wait for other clients, as for a lock, do not. So that a slow disk is not
/// made slower, ten of a second are told of at most, and with the next one how many were not.
public final class SlowRequests: Sendable {
    private final class Notes: Sendable {
        private struct State {
            var second: Int64 = 0
            var told = 0
            var untold = 0
        }

        /// Most lines of one second.
        private static let toldMax = 10

        private let logger: Logger
        private let begin = Stopwatch()
        private let state = Mutex(State())
        let total = Atomic<Int>(0)

        init(_ logger: Logger) { self.logger = logger }

        func note(_ call: SlowCall) {
            total.add(1, ordering: .relaxed)
            let second = begin.nanoseconds() / 1_000_000_000
            let untold: Int? = state.withLock { state in
                if state.second != second { (state.second, state.told) = (second, 0) }
                guard state.told < Notes.toldMax else {
                    state.untold += 1
                    return nil
                }
                state.told += 1
                defer { state.untold = 0 }
                return state.untold
            }
            guard let untold else { return }
            logger.warning("a request took too long", metadata: SlowRequests.metadata(of: call, untold: untold))
        }
    }

    /// What tells of the calls of a server.
    let calls: SlowCalls
    private let notes: Notes

    /// Tells of nothing before `set`.
    /// - Parameter logger: Gets a warning for each.
    public init(logger: Logger) {
        let notes = Notes(logger)
        self.notes = notes
        calls = SlowCalls(after: .zero) { notes.note($0) }
    }

    /// Requests that take so long or longer are told of from now on; zero: none are. From any thread.
    public func set(_ time: Duration) { calls.set(time) }

    /// Requests that took long since the start.
    var count: Int { notes.total.load(ordering: .relaxed) }

    /// - Parameter untold: Those before it of which nothing was told.
    static func metadata(of call: SlowCall, untold: Int) -> Logger.Metadata {
        var metadata: Logger.Metadata = [
            "rpc": "\(call.path.dropFirst())", "code": "\(call.code.nameOfGo)",
            "duration_ms": "\(Double(call.time.nanoseconds / 1000) / 1000)",
            "request.bytes": "\(call.requestSize)", "response.bytes": "\(call.responseSize)",
            "client": "\(call.client ?? "unknown")",
        ]
        switch call.path {
        case "/etcdserverpb.KV/Range", "/etcdserverpb.KV/DeleteRange":
            metadata["key.bytes"] = "\(call.remark.0)"
            metadata["range_end.bytes"] = "\(call.remark.1)"
        case "/etcdserverpb.KV/Put": metadata["key.bytes"] = "\(call.remark.0)"
        case "/etcdserverpb.KV/Txn": metadata["operations"] = "\(call.remark.0)"
        default: break
        }
        if untold > 0 { metadata["untold"] = "\(untold)" }
        return metadata
    }
}
