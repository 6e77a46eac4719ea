import RPC

/// A connection to the server with the methods that a benchmark calls.
///
/// All connections of a run share one event loop, and everything that happens in a run happens there.
struct BenchConnection: Sendable {
    let client: RPCClient
    let put: RPCMethod
    let range: RPCMethod
    let watch: RPCMethod

    init(client: RPCClient) {
        self.client = client
        put = client.method("/etcdserverpb.KV/Put")
        range = client.method("/etcdserverpb.KV/Range")
        watch = client.method("/etcdserverpb.Watch/Watch")
    }
}

/// Something that offers load on the connections' event loop.
///
/// Both methods are called there.
protocol LoadRun: AnyObject, Sendable {
    /// Begins; `whenOver` is called once, when no call is in flight any more and `outcome` is final.
    func begin(whenOver: @escaping @Sendable () -> Void)
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
