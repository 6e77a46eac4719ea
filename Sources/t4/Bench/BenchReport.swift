/// What one workload gave.
struct WorkloadResult: Encodable {
    struct Latency: Encodable {
        var p50_us: Double
        var p99_us: Double
        var p99_9_us: Double
        var max_us: Double

        init(_ histogram: LatencyHistogram) {
            p50_us = Double(histogram.percentile(0.5)) / 1000
            p99_us = Double(histogram.percentile(0.99)) / 1000
            p99_9_us = Double(histogram.percentile(0.999)) / 1000
            max_us = Double(histogram.max) / 1000
        }
    }

    struct Part: Encodable {
        var operation: String
        var operations: UInt64
        var latency: Latency
    }

    var workload: String
    var connections: Int
    var streams: Int
    var watchers: Int
    var seconds: Double
    var operations: UInt64
    var errors: Int
    /// Encoded as `first_error`; absent if nothing failed.
    var first_error: String?
    var ops_per_second: Double
    var latency: Latency
    /// Absent unless the server's pid is known.
    var server_cpu_us_per_op: Double?
    /// What the load generator itself needed.
    var client_cpu_us_per_op: Double
    /// By operation, where there are several.
    var parts: [Part]
    /// How long what went on beside it took; absent unless it has an end.
    var companion_seconds: Double?

    var firstError: String? { first_error }

    init(_ workload: Workload, _ outcome: LoadOutcome) {
        var all = LatencyHistogram()
        for (_, histogram) in outcome.latencies { all.add(histogram) }
        self.workload = workload.name
        connections = workload.connections
        streams = workload.streams
        watchers = workload.watchers
        seconds = outcome.window.seconds
        operations = all.count
        errors = outcome.errors
        first_error = outcome.firstError
        ops_per_second = seconds > 0 ? Double(all.count) / seconds : 0
        latency = Latency(all)
        let perOperation = 1 / (1000 * Double(max(all.count, 1)))
        server_cpu_us_per_op = outcome.window.serverCPU.map { Double($0) * perOperation }
        client_cpu_us_per_op = Double(outcome.window.ownCPU) * perOperation
        parts =
            outcome.latencies.count < 2
            ? []
            : outcome.latencies.map { Part(operation: $0, operations: $1.count, latency: Latency($1)) }
    }
}

/// A whole benchmark, as `--json` prints it.
struct BenchReport: Encodable {
    var endpoint: String
    var keys: Int
    var key_size: Int
    var value_size: Int
    var workloads: [WorkloadResult] = []

    /// The heading of the text table.
    static let heading = [
        "WORKLOAD", "OPS/S", "P50 us", "P99 us", "P99.9 us", "MAX us", "SERVER us/op", "CLIENT us/op", "ERRORS",
    ]

    /// The rows of one result.
    static func rows(_ result: WorkloadResult) -> [[String]] {
        let all =
            [result.workload, whole(result.ops_per_second)] + cells(result.latency) + [
                result.server_cpu_us_per_op.map(tenths) ?? "-", tenths(result.client_cpu_us_per_op),
                "\(result.errors)",
            ]
        let parts = result.parts.map { part in
            ["  \(part.operation)", whole(Double(part.operations) / result.seconds)] + cells(part.latency)
                + ["", "", ""]
        }
        return [all] + parts
    }

    private static func cells(_ latency: WorkloadResult.Latency) -> [String] {
        [latency.p50_us, latency.p99_us, latency.p99_9_us, latency.max_us].map(whole)
    }

    private static func whole(_ value: Double) -> String { "\(Int(value.rounded()))" }
    private static func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
}
