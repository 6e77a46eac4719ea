import RPC
import Synchronization
import T4Core

/// What clients ask for with the metadata `hasleader: true` (etcd: `rpctypes.MetadataRequireLeaderKey`): rather an error than
/// the answers of a node that nobody leads. Streams end once that has lasted for some time.
final class LeaderRequirement: Sendable {
    private struct Stream {
        weak var call: ServerCall?
    }

    private let leaderID: @Sendable () -> UInt64
    private let interval: Duration
    private let timer: BackoffTimer
    private let streams = Mutex<[Stream]>([])
    private let task = Mutex<Task<Void, Never>?>(nil)
    private static let patience = 3

    /// - Parameters:
    ///   - interval: A third of the time that streams go on without a leader.
    ///   - leaderID: Who leads; 0 for nobody.
    init(
        every interval: Duration = .seconds(1), timer: BackoffTimer = .system,
        leaderID: @escaping @Sendable () -> UInt64
    ) {
        self.interval = interval
        self.timer = timer
        self.leaderID = leaderID
    }

    /// What becomes of a call that begins.
    /// - Parameter isStream: It is watched for as long as it is open.
    func refusal(of call: ServerCall, isStream: Bool) -> RPCStatus? {
        guard call.metadata("hasleader") == "true" else { return nil }
        if leaderID() == 0 { return EtcdErrors.noLeaderOfCluster }
        if isStream { streams.withLock { $0.append(Stream(call: call)) } }
        return nil
    }

    /// Looks for a leader now and then, until `stop`.
    func start() {
        let look = Task { [self] in
            var misses = 0
            while !Task.isCancelled {
                await timer.pause(interval)
                if Task.isCancelled { return }
                misses = leaderID() == 0 ? misses + 1 : 0
                sweep(ends: misses >= LeaderRequirement.patience)
            }
        }
        task.withLock { $0 = look }
    }

    func stop() { task.withLock { $0 }?.cancel() }

    /// Forgets streams that are over, and ends the others where nobody leads for long.
    private func sweep(ends: Bool) {
        let open = streams.withLock { streams in
            streams.removeAll { $0.call?.isClosed ?? true }
            return ends ? streams : []
        }
        for stream in open { stream.call?.abandon(EtcdErrors.noLeaderOfCluster) }
    }
}
