import RPC

/// A connection to the server with the methods that a benchmark calls.
///
/// All connections of a run share one event loop, and everything that happens in a run happens there.
struct BenchConnection: Sendable {
    let client: RPCClient
    let put: RPCMethod
    let range: RPCMethod
    let transaction: RPCMethod
    let compact: RPCMethod
    let watch: RPCMethod

    init(client: RPCClient) {
        self.client = client
        put = client.method("/etcdserverpb.KV/Put")
        range = client.method("/etcdserverpb.KV/Range")
        transaction = client.method("/etcdserverpb.KV/Txn")
        compact = client.method("/etcdserverpb.KV/Compact")
        watch = client.method("/etcdserverpb.Watch/Watch")
    }
}

/// Something that offers load on the connections' event loop.
///
/// All methods are called there.
protocol LoadRun: AnyObject, Sendable {
    /// Begins.
    /// - Parameters:
    ///   - whenMeasuring: Called when operations begin to count.
    ///   - whenOver: Called once, when no call is in flight any more and `outcome` is final.
    func begin(whenMeasuring: @escaping @Sendable () -> Void, whenOver: @escaping @Sendable () -> Void)
    /// No operation counts from now on, but one if none did so far: the run ends once those that are under way have ended.
    func end()
    /// Gives up for a reason: the run ends as soon as it can, as failed.
    func abort(_ reason: String)
    /// What was measured; only after `whenOver`.
    var outcome: LoadOutcome { get }
}

/// What a run has measured.
struct LoadOutcome: Sendable {
    var window: MeasuredWindow
    /// Latencies within the window, by what was done: `put`, `get`, `list`, `event`.
    var latencies: [(operation: String, histogram: LatencyHistogram)]
    /// Failed operations, warm-up included.
    var errors = 0
    /// What the first of them failed with.
    var firstError: String?
}
