import Dispatch
import RPC

/// What all workloads of one benchmark have in common.
struct BenchSettings: Sendable {
    var host: String
    var port: Int
    var keys: BenchKeys
    var valueSize: Int
    /// Nanoseconds before operations count.
    var warmUp: UInt64
    /// Nanoseconds that are measured.
    var duration: UInt64
    /// Puts under way while watches are measured.
    var watchPuts: Int
    var server: WatchedProcess?
}

/// Runs workloads against one server.
struct BenchSession {
    let settings: BenchSettings
    private let requests: BenchRequests
    private let loops = RPCEventLoops(threads: 1)

    /// Time without an end after which a workload is given up.
    private static let patience: Duration = .seconds(60)
    /// The same for writing all keys, which takes as long as it takes.
    private static let fillPatience: Duration = .seconds(3600)

    init(settings: BenchSettings) {
        self.settings = settings
        requests = BenchRequests(keys: settings.keys, valueSize: settings.valueSize)
    }

    /// Writes all keys unless the server has them.
    ///
    /// - Returns: True if they were written.
    /// - Throws: `CommandFailure`, `RPCError`, or the status of the failed call.
    func fillIfNeeded() async throws -> Bool {
        let connection = try await connect()
        let answer: [UInt8]
        do {
            answer = try await connection.client.unary(connection.range.path, requests.countAll())
        } catch {
            await connection.client.close()
            throw error
        }
        await connection.client.close()
        let found = try BenchAnswers.rows(answer, valueSize: nil).count
        if found == Int64(settings.keys.count) { return false }
        guard let fill = Workload("fill") else { preconditionFailure("the workload exists") }
        let result = try await measure(fill)
        if let error = result.firstError { throw CommandFailure(description: "cannot write the keys: \(error)") }
        return true
    }

    /// Runs one workload.
    /// - Throws: What keeps it from beginning; failed operations are part of the result.
    func measure(_ workload: Workload) async throws -> WorkloadResult {
        let extra = workload.kind == .watch ? 1 : 0
        var connections: [BenchConnection] = []
        for _ in 0..<workload.connections + extra { connections.append(try await connect()) }
        let run: any LoadRun =
            workload.kind == .watch
            ? WatchRun(
                workload, connections, requests: requests, putsUnderWay: settings.watchPuts, server: settings.server,
                warmUp: settings.warmUp, duration: settings.duration)
            : ClosedLoopRun(
                workload, connections, requests: requests, valueSize: settings.valueSize, server: settings.server,
                warmUp: settings.warmUp, duration: settings.duration)
        await carryOut(run, on: connections[0].client, fill: workload.kind == .fill)
        for connection in connections { await connection.client.close() }
        let outcome = run.outcome
        if let failure = outcome.window.failure { throw failure }
        return WorkloadResult(workload, outcome)
    }

    private func connect() async throws -> BenchConnection {
        var configuration = RPCClientConfiguration()
        configuration.userAgent = "t4-bench"
        return BenchConnection(
            client: try await RPCClient.connect(
                host: settings.host, port: settings.port, configuration: configuration, loops: loops))
    }

    /// Returns when the run is over: by itself, or because nothing has come of it for too long.
    private func carryOut(_ run: any LoadRun, on client: RPCClient, fill: Bool) async {
        let limit =
            fill
            ? Self.fillPatience
            : Self.patience + .nanoseconds(Int64(settings.warmUp)) + .nanoseconds(Int64(settings.duration))
        let watchdog = DispatchSource.makeTimerSource(queue: .global())
        watchdog.setEventHandler {
            client.execute { run.abort("not finished after \(limit): the server answers too slowly or not at all") }
        }
        watchdog.schedule(deadline: .now() + .seconds(Int(limit.components.seconds)))
        watchdog.activate()
        await withCheckedContinuation { continuation in
            client.execute { run.begin { continuation.resume() } }
        }
        watchdog.cancel()
    }

    /// Ends the session's threads.
    func close() async throws { try await loops.shutdown() }
}
