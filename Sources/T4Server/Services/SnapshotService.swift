import RPC

/// `Maintenance.Snapshot`: the database as a file that etcd's own tools read.
struct SnapshotService: Sendable {
    let context: ServiceContext
    let workers: SnapshotWorkers

    func register(in router: inout RPCRouter) {
        router.stream("/etcdserverpb.Maintenance/Snapshot") { [context, workers] call in
            SnapshotCall(call, context, workers)
        }
    }
}

/// One call: hands what happens to it to the thread that works for it.
private final class SnapshotCall: ServerStreamHandler {
    private let call: ServerCall
    private let context: ServiceContext
    private let workers: SnapshotWorkers
    private let job: SnapshotJob
    private var messages = 0

    init(_ call: ServerCall, _ context: ServiceContext, _ workers: SnapshotWorkers) {
        self.call = call
        self.context = context
        self.workers = workers
        job = SnapshotJob(call, context)
    }

    /// The request has no fields.
    func onMessage(_ message: RawSpan) { messages += 1 }

    func onHalfClose() {
        if messages != 1 {
            return call.finish(RPCStatus(.internal, "cardinality violation: \(messages) requests, one is expected"))
        }
        do {
            try context.requireAdmin(call)
        } catch {
            return call.finish(EtcdErrors.status(error))
        }
        if !workers.start(job) {
            call.finish(
                RPCStatus(
                    .resourceExhausted, "t4: \(SnapshotWorkers.countMax) snapshots are being made, try again later"))
        }
    }

    func onCancel(_ reason: CancelReason) { job.cancel() }
    func onWritable() { job.becameWritable() }
    func onWake() {}
}
