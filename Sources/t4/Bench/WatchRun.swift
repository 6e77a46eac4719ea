import RPC
import T4Core

/// Measures how fast events reach watchers.
///
/// A writer keeps a fixed number of puts under way. A put is under way until it is acknowledged *and* its event has
/// reached every watcher, so the backlog in the server is bounded and a lost or repeated event is noticed. The latency
/// of an event runs from the sending of its put.
// Unchecked: everything that changes is touched on the connections' event loop only.
final class WatchRun: LoadRun, @unchecked Sendable {
    private let workload: Workload
    private let writer: BenchConnection
    private let watching: [BenchConnection]
    private let requests: BenchRequests
    private let putsUnderWay: Int
    private let server: WatchedProcess?
    private let warmUp: UInt64
    private let duration: UInt64?
    private var random = SplitMix64(seed: 42)
    private var calls: [ClientCall] = []
    private var watchesCreated = 0
    private var slots: [Slot] = []
    private var slotsActive = 0
    private var isWriting = false
    private var window: MeasuredWindow
    private var latencies = LatencyHistogram()
    private var news = BenchAnswers.WatchNews()
    private var errors = 0
    private var firstError: String?
    private var whenMeasuring: @Sendable () -> Void = {}
    private var whenOver: (@Sendable () -> Void)?

    /// A put under way.
    private struct Slot {
        /// Number of the put, times the number of slots, plus the slot's index: what its value begins with.
        var tag: UInt64
        var startedAt: UInt64 = 0
        var isAcknowledged = true
        var eventsMissing = 0
    }

    /// - Parameter connections: The writer's, and one or more for the watchers.
    init(
        _ workload: Workload, _ connections: [BenchConnection], requests: BenchRequests, putsUnderWay: Int,
        server: WatchedProcess?, warmUp: UInt64, duration: UInt64?
    ) {
        self.workload = workload
        writer = connections[0]
        watching = Array(connections.dropFirst())
        self.requests = requests
        self.putsUnderWay = putsUnderWay
        self.server = server
        self.warmUp = warmUp
        self.duration = duration
        window = MeasuredWindow(now: BenchClock.now(), warmUp: warmUp, duration: duration, server: nil)
    }

    func begin(whenMeasuring: @escaping @Sendable () -> Void, whenOver: @escaping @Sendable () -> Void) {
        self.whenMeasuring = whenMeasuring
        self.whenOver = whenOver
        let creation = requests.watchAll()
        for (index, connection) in watching.enumerated() {
            let call = connection.client.stream(connection.watch) { _ in Receiver(run: self) }
            calls.append(call)
            for _ in stride(from: index, to: workload.watchers, by: watching.count) { call.send(creation) }
        }
    }

    func end() { window.end(BenchClock.now()) }

    func abort(_ reason: String) {
        fail("\(reason) (\(standing))")
        over()
    }

    /// How far it has come.
    private var standing: String {
        guard isWriting else { return "\(watchesCreated) of \(workload.watchers) watches created" }
        let unacknowledged = slots.count { !$0.isAcknowledged }
        let missing = slots.filter { $0.eventsMissing > 0 }
        return "\(unacknowledged) puts not acknowledged, \(missing.count) puts with events missing: "
            + missing.map { "put \($0.tag) \($0.eventsMissing)" }.joined(separator: ", ")
    }

    var outcome: LoadOutcome {
        LoadOutcome(window: window, latencies: [("event", latencies)], errors: errors, firstError: firstError)
    }

    /// Hands what a stream brings to the run.
    private final class Receiver: ClientStreamHandler {
        private let run: WatchRun

        init(run: WatchRun) { self.run = run }

        func onMessage(_ message: RawSpan) { run.received(message) }
        func onEnd(_ status: RPCStatus) { run.streamEnded(status) }
        func onWritable() {}
    }

    private func received(_ message: RawSpan) {
        guard whenOver != nil else { return }
        do {
            try BenchAnswers.read(message, into: &news)
        } catch {
            return abort("a watch answer cannot be read: \(error)")
        }
        if news.isCancelled { return abort("the server cancelled a watch") }
        if news.isCreated {
            watchesCreated += 1
            if watchesCreated == workload.watchers { startWriting() }
        }
        let now = BenchClock.now()
        for tag in news.tags {
            guard isWriting else { return abort("an event came before anything was written") }
            let index = Int(tag % UInt64(putsUnderWay))
            guard slots[index].tag == tag, slots[index].eventsMissing > 0 else {
                return abort("the event of put \(tag) came more than once, or late")
            }
            slots[index].eventsMissing -= 1
            if window.phase(at: now) == .measuring {
                latencies.record(now - slots[index].startedAt)
                window.count()
            }
            continueIfDone(index)
        }
    }

    private func streamEnded(_ status: RPCStatus) {
        guard whenOver != nil else { return }
        abort("a watch stream ended: \(status)")
    }

    private func startWriting() {
        isWriting = true
        window = MeasuredWindow(
            now: BenchClock.now(), warmUp: warmUp, duration: duration, server: server, whenOpen: whenMeasuring)
        slots = (0..<putsUnderWay).map { Slot(tag: UInt64($0)) }
        slotsActive = putsUnderWay
        for index in slots.indices { put(index) }
    }

    private func put(_ index: Int) {
        let tag = slots[index].tag + UInt64(putsUnderWay)
        slots[index] = Slot(
            tag: tag, startedAt: BenchClock.now(), isAcknowledged: false, eventsMissing: workload.watchers)
        let message = requests.put(random.below(requests.keys.count), tag: tag)
        writer.client.start(writer.put, message) { [self] result in acknowledged(index, result) }
    }

    private func acknowledged(_ index: Int, _ result: Result<[UInt8], RPCStatus>) {
        guard whenOver != nil else { return }
        if case .failure(let status) = result { return abort("\(status)") }
        slots[index].isAcknowledged = true
        continueIfDone(index)
    }

    private func continueIfDone(_ index: Int) {
        guard slots[index].isAcknowledged, slots[index].eventsMissing == 0 else { return }
        guard window.phase(at: BenchClock.now()) == .over else { return put(index) }
        slotsActive -= 1
        if slotsActive == 0 { over() }
    }

    private func fail(_ reason: String) {
        errors += 1
        firstError = firstError ?? reason
    }

    private func over() {
        guard let whenOver else { return }
        self.whenOver = nil
        window.close(BenchClock.now())
        for call in calls { call.cancel() }
        whenOver()
    }
}
