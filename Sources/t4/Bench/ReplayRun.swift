import RPC

/// Measures how fast watchers get the history of all keys.
///
/// Every watcher begins with revision 1. The run is over when each has the revision that was the newest at the
/// beginning; the latency of an event runs from there to its arrival. History that is not whole or not in order fails it.
// Unchecked: everything that changes is touched on the connections' event loop only.
final class ReplayRun: LoadRun, @unchecked Sendable {
    private let connections: [BenchConnection]
    private let watchers: Int
    private let creation: [UInt8]
    private let eventsMin: Int
    private let last: Int64
    private let server: WatchedProcess?
    private var calls: [ClientCall] = []
    private var watchersLeft: Int
    private var startedAt: UInt64 = 0
    private var window: MeasuredWindow
    private var latencies = LatencyHistogram()
    private var news = BenchAnswers.WatchNews()
    private var firstError: String?
    private var whenOver: (@Sendable () -> Void)?

    /// - Parameters:
    ///   - watchers: Their number.
    ///   - last: The newest revision.
    ///   - eventsMin: So many events at least lie between them.
    init(
        _ connections: [BenchConnection], watchers: Int, requests: BenchRequests, through last: Int64, eventsMin: Int,
        server: WatchedProcess?
    ) {
        self.connections = connections
        self.watchers = watchers
        self.last = last
        self.eventsMin = eventsMin
        self.server = server
        creation = requests.watchAll(from: 1)
        watchersLeft = watchers
        window = MeasuredWindow(now: BenchClock.now(), warmUp: 0, duration: nil, server: nil)
    }

    func begin(whenMeasuring: @escaping @Sendable () -> Void, whenOver: @escaping @Sendable () -> Void) {
        self.whenOver = whenOver
        startedAt = BenchClock.now()
        window = MeasuredWindow(
            now: startedAt, warmUp: 0, duration: nil, server: server, whenOpen: whenMeasuring)
        // A stream for each watcher, so that the stream says whose events they are.
        for watcher in 0..<watchers {
            let connection = connections[watcher % connections.count]
            let call = connection.client.stream(connection.watch) { _ in Receiver(run: self) }
            calls.append(call)
            call.send(creation)
        }
    }

    func end() { abort("ended before every watcher had everything") }

    func abort(_ reason: String) {
        firstError = firstError ?? "\(reason) (\(watchersLeft) watchers are behind)"
        over()
    }

    var outcome: LoadOutcome {
        LoadOutcome(
            window: window, latencies: [("event", latencies)], errors: firstError == nil ? 0 : 1, firstError: firstError
        )
    }

    /// Hands what a stream brings to the run.
    private final class Receiver: ClientStreamHandler {
        private let run: ReplayRun
        private var events = 0
        private var revision: Int64 = 0

        init(run: ReplayRun) { self.run = run }

        func onMessage(_ message: RawSpan) { run.received(message, events: &events, revision: &revision) }
        func onEnd(_ status: RPCStatus) { run.streamEnded(status) }
        func onWritable() {}
    }

    private func received(_ message: RawSpan, events: inout Int, revision: inout Int64) {
        guard whenOver != nil, revision < last else { return }
        do {
            try BenchAnswers.read(message, into: &news)
        } catch {
            return abort("a watch answer cannot be read: \(error)")
        }
        if news.isCancelled { return abort("the server cancelled a watch") }
        guard !news.tags.isEmpty else { return }
        let latency = BenchClock.now() - startedAt
        for _ in news.tags { latencies.record(latency) }
        events += news.tags.count
        guard news.lastRevision >= revision else {
            return abort("revision \(news.lastRevision) came behind revision \(revision)")
        }
        revision = news.lastRevision
        guard revision >= last else { return }
        guard events >= eventsMin else { return abort("\(events) events came, expected \(eventsMin) or more") }
        watchersLeft -= 1
        if watchersLeft == 0 { over() }
    }

    private func streamEnded(_ status: RPCStatus) {
        guard whenOver != nil else { return }
        abort("a watch stream ended: \(status)")
    }

    private func over() {
        guard let whenOver else { return }
        self.whenOver = nil
        window.close(BenchClock.now())
        for call in calls { call.cancel() }
        whenOver()
    }
}
