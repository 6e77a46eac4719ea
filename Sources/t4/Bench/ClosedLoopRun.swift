import RPC
import T4Core

/// Keeps a fixed number of calls in flight: each answer starts the next call.
// Unchecked: everything that changes is touched on the connections' event loop only.
final class ClosedLoopRun: LoadRun, @unchecked Sendable {
    private let workload: Workload
    private let requests: BenchRequests
    private let valueSize: Int
    private let server: WatchedProcess?
    private let warmUp: UInt64
    private let duration: UInt64?
    private var lanes: [Lane] = []
    private var random = SplitMix64(seed: 42)
    private var window: MeasuredWindow
    private var puts = LatencyHistogram()
    private var reads = LatencyHistogram()
    private var callsStarted = 0
    private var lanesActive = 0
    private var errors = 0
    private var firstError: String?
    private var whenOver: (@Sendable () -> Void)?

    /// One call at a time on a connection.
    private final class Lane: @unchecked Sendable {  // as the run
        let connection: BenchConnection
        var startedAt: UInt64 = 0
        var isPut = false
        /// Made once, so that a call costs no closure. Holds the run, which calls in flight may outlive, until it is over.
        var completion: @Sendable (Result<[UInt8], RPCStatus>) -> Void = { _ in }

        init(connection: BenchConnection) { self.connection = connection }
    }

    init(
        _ workload: Workload, _ connections: [BenchConnection], requests: BenchRequests, valueSize: Int,
        server: WatchedProcess?, warmUp: UInt64, duration: UInt64?
    ) {
        self.workload = workload
        self.requests = requests
        self.valueSize = valueSize
        self.server = server
        self.warmUp = warmUp
        self.duration = duration
        window = MeasuredWindow(now: BenchClock.now(), warmUp: warmUp, duration: duration, server: nil)
        for _ in 0..<workload.streams {
            for connection in connections {
                let lane = Lane(connection: connection)
                lane.completion = { [self, unowned lane] in finished(lane, $0) }
                lanes.append(lane)
            }
        }
    }

    func begin(whenMeasuring: @escaping @Sendable () -> Void, whenOver: @escaping @Sendable () -> Void) {
        self.whenOver = whenOver
        let isFill = workload.kind.writesKeys
        window = MeasuredWindow(
            now: BenchClock.now(), warmUp: isFill ? 0 : warmUp, duration: isFill ? nil : duration, server: server,
            whenOpen: whenMeasuring)
        lanesActive = lanes.count
        for lane in lanes { startNext(lane) }
    }

    func end() { window.end(BenchClock.now()) }

    func abort(_ reason: String) {
        fail("\(reason) (\(lanesActive) calls in flight)")
        window.close(BenchClock.now())
        over()
    }

    var outcome: LoadOutcome {
        let readName =
            switch workload.kind {
            case .list: "list"
            case .count: "count"
            default: "get"
            }
        let latencies = [(workload.kind == .load ? "transaction" : "put", puts), (readName, reads)].filter {
            $0.1.count > 0
        }
        return LoadOutcome(window: window, latencies: latencies, errors: errors, firstError: firstError)
    }

    private func startNext(_ lane: Lane) {
        let message: [UInt8]
        let key = random.below(requests.keys.count)
        callsStarted += 1
        switch workload.kind {
        case .fill:
            guard callsStarted <= requests.keys.count else { return retire(lane) }
            lane.isPut = true
            message = requests.put(callsStarted - 1, tag: UInt64(callsStarted))
        case .load:
            let first = (callsStarted - 1) * Workload.loadCount
            guard first < requests.keys.count else { return retire(lane) }
            lane.isPut = true
            message = requests.load(first..<min(first + Workload.loadCount, requests.keys.count))
        case .put:
            lane.isPut = true
            message = requests.put(key, tag: UInt64(callsStarted))
        case .get: message = requests.get(key, serializable: false)
        case .getSerializable: message = requests.get(key, serializable: true)
        case .list:
            let start = random.below(requests.keys.count - Workload.listCount + 1)
            message = requests.list(start, count: Workload.listCount)
        case .count: message = requests.countAll()
        case .mixed:
            lane.isPut = random.next() & 1 == 0
            message =
                lane.isPut
                ? requests.put(key, tag: UInt64(callsStarted)) : requests.get(key, serializable: false)
        case .watch, .replay: preconditionFailure("watches are measured by runs of their own")
        }
        lane.startedAt = BenchClock.now()
        let connection = lane.connection
        let method =
            workload.kind == .load ? connection.transaction : lane.isPut ? connection.put : connection.range
        connection.client.start(method, message, completion: lane.completion)
    }

    private func finished(_ lane: Lane, _ result: Result<[UInt8], RPCStatus>) {
        guard whenOver != nil else { return }
        let now = BenchClock.now()
        if let reason = problem(result, isPut: lane.isPut) { fail(reason) }
        switch window.phase(at: now) {
        case .warmUp: break
        case .measuring:
            let latency = now - lane.startedAt
            if lane.isPut { puts.record(latency) } else { reads.record(latency) }
            window.count()
        case .over: return retire(lane)
        }
        if errors > 0 { return retire(lane) }
        startNext(lane)
    }

    /// What is wrong with an answer; nil if nothing.
    private func problem(_ result: Result<[UInt8], RPCStatus>, isPut: Bool) -> String? {
        switch result {
        case .failure(let status): return "\(status)"
        case .success(let answer):
            if isPut { return nil }
            let expected: (rows: Int, count: Int64) =
                switch workload.kind {
                case .list: (Workload.listCount, Int64(Workload.listCount))
                case .count: (0, Int64(requests.keys.count))
                default: (1, 1)
                }
            do {
                let found = try BenchAnswers.rows(answer, valueSize: valueSize)
                if found == expected { return nil }
                return
                    "a read gave \(found.rows) of \(found.count) keys, expected \(expected.rows) of \(expected.count)"
            } catch {
                return "\(error)"
            }
        }
    }

    private func fail(_ reason: String) {
        errors += 1
        firstError = firstError ?? reason
    }

    private func retire(_ lane: Lane) {
        lanesActive -= 1
        if lanesActive == 0 { over() }
    }

    private func over() {
        guard let whenOver else { return }
        self.whenOver = nil
        for lane in lanes { lane.completion = { _ in } }
        window.close(BenchClock.now())
        whenOver()
    }
}
