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
    /// Watchers beside a workload with `+watches`.
    var unwrittenWatches: Int
    var server: WatchedProcess?
    var tls: RPCClientTLS?
    /// Of a login; sent with every call.
    var token: String?

    func connect(on loops: RPCEventLoops?) async throws -> RPCClient {
        var configuration = RPCClientConfiguration()
        configuration.userAgent = "t4-bench"
        configuration.tls = tls
        if let token { configuration.metadata = [("token", token)] }
        return try await RPCClient.connect(host: host, port: port, configuration: configuration, loops: loops)
    }

    /// Logs in as NAME:PASSWORD, each of at most 127 bytes.
    /// - Returns: The token.
    func login(_ user: String) async throws -> String {
        let client = try await connect(on: nil)
        do {
            var request: [UInt8] = []
            for (tag, part) in zip([0x0A, 0x12] as [UInt8], user.split(separator: ":", maxSplits: 1)) {
                request += [tag, UInt8(part.utf8.count)] + part.utf8
            }
            let token = try BenchAnswers.token(try await client.unary("/etcdserverpb.Auth/Authenticate", request))
            await client.close()
            return token
        } catch {
            await client.close()
            throw error
        }
    }
}

/// Runs workloads against one server.
struct BenchSession {
    let settings: BenchSettings
    private let requests: BenchRequests
    private let loops = RPCEventLoops(threads: 1)
    /// For what goes on beside a workload, so that the one does not wait for the other here.
    private let companionLoops = RPCEventLoops(threads: 1)

    /// Time without an end after which a workload is given up.
    private static let patience: Duration = .seconds(60)
    /// The same for what takes as long as it takes.
    private static let workPatience: Duration = .seconds(3600)
    /// Connections that watchers are spread over.
    private static let watchConnections = 16

    init(settings: BenchSettings) {
        self.settings = settings
        requests = BenchRequests(keys: settings.keys, valueSize: settings.valueSize)
    }

    /// Writes all keys unless the server has them.
    ///
    /// - Returns: True if they were written.
    /// - Throws: `CommandFailure`, `RPCError`, or the status of the failed call.
    func fillIfNeeded() async throws -> Bool {
        let answer = try await call(requests.countAll(), of: \.range, on: loops)
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
        switch workload.companion {
        case nil: return try await measureAlone(workload)
        case .watches: return try await measureBesideWatches(workload)
        case .compact:
            return try await measure(workload) {
                let revision = try await newestRevision(on: companionLoops)
                _ = try await call(requests.compact(to: revision), of: \.compact, on: companionLoops)
            }
        case .replay:
            return try await measure(workload) {
                let outcome = try await replay(watchers: 1, on: companionLoops, server: nil)
                if let error = outcome.firstError { throw CommandFailure(description: "the replay: \(error)") }
            }
        }
    }

    private func measureAlone(_ workload: Workload) async throws -> WorkloadResult {
        if workload.kind == .replay {
            return try result(
                workload, try await replay(watchers: workload.watchers, on: loops, server: settings.server))
        }
        let connections = try await connect(for: workload)
        let run = run(of: workload, connections, duration: settings.duration)
        await carryOut(run, on: connections[0].client, limit: workload.kind.hasEnd ? Self.workPatience : patience)
        await close(connections)
        return try result(workload, run.outcome)
    }

    /// Measures a workload beside watchers that have nothing to get.
    private func measureBesideWatches(_ workload: Workload) async throws -> WorkloadResult {
        let connections = try await connect(Self.watchConnections, on: companionLoops)
        let watches = UnwrittenWatches(connections)
        let measured: WorkloadResult
        do {
            try await watches.create(settings.unwrittenWatches, requests: requests)
            measured = try await measureAlone(workload)
        } catch {
            await close(connections)
            throw error
        }
        await watches.close()
        await close(connections)
        if let failure = watches.failure { throw failure }
        return measured
    }

    /// Measures a workload from the moment that something begins until it ends.
    private func measure(
        _ workload: Workload, beside companion: () async throws -> Void
    ) async throws -> WorkloadResult {
        let connections = try await connect(for: workload)
        let run = run(of: workload, connections, duration: nil)
        let client = connections[0].client
        let (opened, signal) = AsyncStream.makeStream(of: Void.self)
        async let load: Void = carryOut(run, on: client, limit: Self.workPatience) {
            signal.yield()
        } whenOver: {
            signal.finish()
        }
        var took: Result<UInt64, any Error> = .success(0)
        for await _ in opened {
            let begin = BenchClock.now()
            do {
                try await companion()
                took = .success(BenchClock.now() - begin)
            } catch {
                took = .failure(error)
            }
            client.execute { run.end() }
        }
        await load
        await close(connections)
        var result = try result(workload, run.outcome)
        result.companion_seconds = Double(try took.get()) / 1e9
        return result
    }

    /// Lets watchers read the whole history.
    private func replay(
        watchers: Int, on loops: RPCEventLoops, server: WatchedProcess?
    ) async throws -> LoadOutcome {
        let connections = try await connect(min(watchers, Self.watchConnections), on: loops)
        let run = ReplayRun(
            connections, watchers: watchers, requests: requests, through: try await newestRevision(on: loops),
            eventsMin: settings.keys.count, server: server)
        await carryOut(run, on: connections[0].client, limit: Self.workPatience)
        await close(connections)
        return run.outcome
    }

    private func result(_ workload: Workload, _ outcome: LoadOutcome) throws -> WorkloadResult {
        if let failure = outcome.window.failure { throw failure }
        return WorkloadResult(workload, outcome)
    }

    private func run(
        of workload: Workload, _ connections: [BenchConnection], duration: UInt64?
    ) -> any LoadRun {
        workload.kind == .watch
            ? WatchRun(
                workload, connections, requests: requests, putsUnderWay: settings.watchPuts, server: settings.server,
                warmUp: settings.warmUp, duration: duration)
            : ClosedLoopRun(
                workload, connections, requests: requests, valueSize: settings.valueSize, server: settings.server,
                warmUp: settings.warmUp, duration: duration)
    }

    // MARK: - Connections

    private func newestRevision(on loops: RPCEventLoops) async throws -> Int64 {
        try BenchAnswers.revision(try await call(requests.get(0, serializable: false), of: \.range, on: loops))
    }

    /// Makes one call on a connection of its own.
    private func call(
        _ message: [UInt8], of method: KeyPath<BenchConnection, RPCMethod>, on loops: RPCEventLoops
    ) async throws -> [UInt8] {
        let connection = try await connect(on: loops)
        do {
            let answer = try await connection.client.unary(connection[keyPath: method].path, message)
            await connection.client.close()
            return answer
        } catch {
            await connection.client.close()
            throw error
        }
    }

    private func connect(for workload: Workload) async throws -> [BenchConnection] {
        // The writer of the events has one of its own.
        try await connect(workload.connections + (workload.kind == .watch ? 1 : 0), on: loops)
    }

    private func connect(_ count: Int, on loops: RPCEventLoops) async throws -> [BenchConnection] {
        var connections: [BenchConnection] = []
        for _ in 0..<count { connections.append(try await connect(on: loops)) }
        return connections
    }

    private func connect(on loops: RPCEventLoops) async throws -> BenchConnection {
        BenchConnection(client: try await settings.connect(on: loops))
    }

    private func close(_ connections: [BenchConnection]) async {
        for connection in connections { await connection.client.close() }
    }

    /// Time after which a workload of the configured duration is given up.
    private var patience: Duration {
        Self.patience + .nanoseconds(Int64(settings.warmUp)) + .nanoseconds(Int64(settings.duration))
    }

    /// Returns when the run is over: by itself, or because nothing has come of it for too long.
    private func carryOut(
        _ run: any LoadRun, on client: RPCClient, limit: Duration, whenMeasuring: @escaping @Sendable () -> Void = {},
        whenOver: @escaping @Sendable () -> Void = {}
    ) async {
        let watchdog = DispatchSource.makeTimerSource(queue: .global())
        watchdog.setEventHandler {
            client.execute { run.abort("not finished after \(limit): the server answers too slowly or not at all") }
        }
        watchdog.schedule(deadline: .now() + .seconds(Int(limit.components.seconds)))
        watchdog.activate()
        await withCheckedContinuation { continuation in
            client.execute {
                run.begin(whenMeasuring: whenMeasuring) {
                    whenOver()
                    continuation.resume()
                }
            }
        }
        watchdog.cancel()
    }

    /// Ends the session's threads.
    func close() async throws {
        try await loops.shutdown()
        try await companionLoops.shutdown()
    }
}
