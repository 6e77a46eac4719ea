import ArgumentParser
import Glibc

/// `t4 bench`: load on any server that speaks the etcd protocol.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure a server that speaks the etcd protocol.",
        discussion: """
            Workloads: put, get, get-serializable, list-100 and mixed (half puts, half gets), each followed by -seq for \
            one call after the other, by -N for N connections with one call in flight each, or by -NxM for N connections \
            with M calls each; count in the same way; watch-N for N watchers; fill to write every key once, load to do \
            so with \(Workload.loadCount) keys in a transaction; replay-N for N watchers that read history from \
            revision 1. WORKLOAD+compact measures while history is compacted, WORKLOAD+replay while a watcher reads \
            it, WORKLOAD+watches beside watchers of other keys. Keys that are missing are written first, under \
            \(BenchKeys.prefix). The command fails if a single operation does.
            """)

    @Option(help: "HOST:PORT of the server; http:// before it is allowed, and https:// asks for TLS.")
    var endpoint = "127.0.0.1:2379"

    @OptionGroup var tls: ClientTLSOptions

    @Option(help: "Log in first: NAME:PASSWORD. The user must be allowed to read and write below \(BenchKeys.prefix).")
    var user: String?

    @Option(help: "Workloads, with commas between them.")
    var workloads = Workload.standard.joined(separator: ",")

    @Option(help: "Seconds that each workload is measured.")
    var duration = 2.0

    @Option(help: "Seconds of load before each measurement.")
    var warmUp = 0.5

    @Option(help: "Number of keys; 100 or more.")
    var keys = 10_000

    @Option(help: "Bytes of a key; \(BenchKeys.sizeMin) or more.")
    var keySize = 64

    @Option(help: "Bytes of a value; \(BenchRequests.tagSize) or more.")
    var valueSize = 256

    @Option(help: "Puts under way while watches are measured.")
    var watchPuts = 16

    @Option(help: "Watchers of other keys beside workloads with +watches.")
    var watches = 10_000

    @Option(help: "Process id of the server, to measure its CPU time; only on the same machine.")
    var pid: Int32?

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        _ = try parsedWorkloads()
        _ = try parsedEndpoint()
        try tls.validate(endpoint: endpoint)
        if let user {
            let parts = user.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, parts.allSatisfy({ $0.utf8.count < 128 }) else {
                throw ValidationError("--user must be NAME:PASSWORD, each of at most 127 bytes")
            }
        }
        guard duration > 0, duration <= 3600 else { throw ValidationError("--duration must be above 0, at most 3600") }
        guard (0...3600).contains(warmUp) else { throw ValidationError("--warm-up must be 0 to 3600") }
        guard (Workload.listCount...100_000_000 - Workload.listCount).contains(keys) else {
            throw ValidationError("--keys must be \(Workload.listCount) to 99999900")
        }
        guard (BenchKeys.sizeMin...32_768).contains(keySize) else {
            throw ValidationError("--key-size must be \(BenchKeys.sizeMin) to 32768")
        }
        guard (BenchRequests.tagSize...1_000_000).contains(valueSize) else {
            throw ValidationError("--value-size must be \(BenchRequests.tagSize) to 1000000")
        }
        guard (1...1_000_000).contains(watches), keys + watches <= 100_000_000 else {
            throw ValidationError("--watches must be 1 to 1000000")
        }
        guard (1...10_000).contains(watchPuts) else { throw ValidationError("--watch-puts must be 1 to 10000") }
    }

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        let address = try parsedEndpoint()
        var settings = BenchSettings(
            host: address.host, port: address.port, keys: BenchKeys(count: keys, size: keySize), valueSize: valueSize,
            warmUp: UInt64(warmUp * 1e9), duration: UInt64(duration * 1e9), watchPuts: watchPuts,
            unwrittenWatches: watches,
            server: pid.map(WatchedProcess.init))
        do {
            settings.tls = try tls.load(endpoint: endpoint)
            if let user { settings.token = try await settings.login(user) }
            try await run(BenchSession(settings: settings), try parsedWorkloads())
        } catch let code as ExitCode {
            throw code
        } catch {
            throw fail(error)
        }
    }

    private func run(_ session: BenchSession, _ workloads: [Workload]) async throws {
        var report = BenchReport(endpoint: endpoint, keys: keys, key_size: keySize, value_size: valueSize)
        if workloads.first?.kind.writesKeys != true, try await session.fillIfNeeded(), !json {
            StandardError.write("wrote \(keys) keys\n")
        }
        for workload in workloads {
            let result = try await session.measure(workload)
            report.workloads.append(result)
            if !json { StandardError.write("\(workload) done\n") }
            if result.errors > 0 { break }
        }
        try await session.close()
        StandardOutput.writeLine(
            json
                ? try JSONText.of(report)
                : Table.columns([BenchReport.heading] + report.workloads.flatMap(BenchReport.rows)))
        if let failed = report.workloads.last, let reason = failed.firstError {
            throw CommandFailure(description: "\(failed.workload): \(failed.errors) error(s), the first: \(reason)")
        }
        if let idle = report.workloads.first(where: { $0.operations == 0 }) {
            throw CommandFailure(description: "\(idle.workload): not one operation ended while it was measured")
        }
    }

    private func parsedWorkloads() throws -> [Workload] {
        let parsed = try workloads.split(separator: ",").map { name in
            guard let workload = Workload(String(name)) else {
                throw ValidationError("there is no workload '\(name)'; see t4 bench --help")
            }
            return workload
        }
        if parsed.isEmpty { throw ValidationError("--workloads names none") }
        return parsed
    }

    private func parsedEndpoint() throws -> Endpoint {
        guard let parsed = Endpoint(endpoint) else {
            throw ValidationError("--endpoint must be HOST:PORT, not '\(endpoint)'")
        }
        return parsed
    }
}
