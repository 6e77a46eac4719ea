import RPC

/// `Maintenance.Snapshot`: the database as a file that etcd's own tools read. And `t4.v1.Backup/Create`, which etcd does not have: the
/// same messages with a file that `t4 restore` reads.
struct SnapshotService: Sendable {
    static let backupMethod = "/t4.v1.Backup/Create"

    let context: ServiceContext
    let workers: SnapshotWorkers

    func register(in router: inout RPCRouter) {
        router.stream("/etcdserverpb.Maintenance/Snapshot") { [context, workers] call in
            SnapshotCall(.etcd, call, context, workers)
        }
        router.stream(SnapshotService.backupMethod) { [context, workers] call in
            SnapshotCall(.backup, call, context, workers)
        }
    }
}

/// One call: hands what happens to it to the thread that works for it.
private final class SnapshotCall: ServerStreamHandler {
    private let content: SnapshotContent
    private let call: ServerCall
    private let context: ServiceContext
    private let workers: SnapshotWorkers
    private let job: SnapshotJob
    private var messages = 0

    init(_ content: SnapshotContent, _ call: ServerCall, _ context: ServiceContext, _ workers: SnapshotWorkers) {
        self.content = content
        self.call = call
        self.context = context
        self.workers = workers
        job = SnapshotJob(content, call, context)
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
        switch content {
        case .etcd: workers.begin(job, of: call)
        // A backup has everything that was acknowledged before it was asked for.
        case .backup: context.whenCurrent(call) { [workers, job, call] in workers.begin(job, of: call) }
        }
    }

    func onCancel(_ reason: CancelReason) { job.cancel() }
    func onWritable() { job.becameWritable() }
    func onWake() {}
}

extension SnapshotWorkers {
    /// Starts a job, or refuses its call.
    fileprivate func begin(_ job: SnapshotJob, of call: ServerCall) {
        guard !start(job) else { return }
        call.finish(
            RPCStatus(.resourceExhausted, "t4: \(SnapshotWorkers.countMax) snapshots are being made, try again later"))
    }
}
