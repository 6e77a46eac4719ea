import T4Protocols

/// The log of a node in a cluster, which has one writer at a time: the commit thread while this node leads, and the thread that
/// calls `run` for everything else.
package final class ClusterLog: Sendable {
    /// What is to be done to the log.
    package enum Work: Sendable {
        /// Write entries behind the last one.
        case append([LogEntry])
        /// Cut off everything behind that entry.
        case truncate(after: UInt64)
        /// Let this write entries, with what it is given.
        case fill(@Sendable (_ append: ([LogEntry]) throws -> Void) throws -> Void)
    }

    /// Work, and what has to be known once it is done.
    package struct Order: Sendable {
        package var work: Work
        /// `Replica.cuts` when it was given.
        package var cuts: UInt64
        /// Let go of when the work is done.
        package var held: (any Sendable)?

        package init(_ work: Work, cuts: UInt64, held: (any Sendable)? = nil) {
            self.work = work
            self.cuts = cuts
            self.held = held
        }
    }

    private struct State {
        var orders: [Order] = []
        /// Some that were taken are not done yet.
        var isBusy = false
        var isStopping = false
        var hasFailed = false
    }

    /// Reads entries back.
    package let entries: LogEntries
    private let writer: Monitor<LogWriter>
    private let state = Monitor(State())

    package init(_ writer: LogWriter) {
        entries = writer.entries
        self.writer = Monitor(writer)
    }

    /// Adds work. It is done in this order.
    package func add(_ order: Order) {
        state.withLock { $0.orders.append(order) }
        state.broadcast()
    }

    /// Does what is added, with one fsync for all that waits, until `stop` or a failure.
    /// - Parameters:
    ///   - onSync: What is on disk now, and the cuts as of then.
    ///   - onFailure: Called once, when the log cannot be written any more.
    package func run(
        onSync: (_ through: UInt64, _ cuts: UInt64) -> Void, onFailure: (any Error) -> Void
    ) {
        while let orders = take() {
            do {
                let through = try writer.withLock { writer in
                    for order in orders { try ClusterLog.perform(order.work, writer) }
                    try writer.sync()
                    return writer.syncedPosition.index
                }
                onSync(through, orders.last?.cuts ?? 0)
                state.withLock { $0.isBusy = false }
                state.broadcast()
            } catch {
                state.withLock { $0.hasFailed = true }
                state.broadcast()
                return onFailure(error)
            }
        }
    }

    private func take() -> [Order]? {
        state.wait { state in
            state.isBusy = !state.orders.isEmpty
            if state.orders.isEmpty { return state.isStopping ? .some(nil) : nil }
            defer { state.orders = [] }
            return state.orders
        }
    }

    /// Waits until everything that was added is done, or the log has failed.
    package func waitUntilDone() {
        state.wait { state in state.hasFailed || (state.orders.isEmpty && !state.isBusy) ? () : nil }
    }

    private static func perform(_ work: Work, _ writer: LogWriter) throws {
        switch work {
        case .append(let entries): try writer.append(entries)
        case .truncate(let index): try writer.truncate(after: index)
        case .fill(let fill): try fill { try writer.append($0) }
        }
    }

    /// Lets `run` return once everything is done.
    package func stop() {
        state.withLock { $0.isStopping = true }
        state.broadcast()
    }

    /// Releases the files. Only after `run` has returned.
    package func close() { writer.withLock { $0.close() } }

    /// See `EntryLog`.
    func hasRoom(forBytes size: Int, usingSpare: Bool) -> Bool {
        writer.withLock { $0.hasRoom(forBytes: size, usingSpare: usingSpare) }
    }

    /// Writes as the leader's commit thread, which nobody else does meanwhile.
    func write<Result>(_ body: (LogWriter) throws(LogError) -> Result) throws(LogError) -> Result {
        try writer.withLock { (writer) throws(LogError) in try body(writer) }
    }
}
