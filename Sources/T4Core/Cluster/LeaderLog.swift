/// The log as a leader's commit thread sees it.
final class LeaderLog: EntryLog {
    private let replicator: Replicator
    private let log: ClusterLog

    init(_ replicator: Replicator, _ log: ClusterLog) {
        self.replicator = replicator
        self.log = log
    }

    func appendAndSync(_ entries: [LogEntry]) throws(LogError) { try replicator.appendAndSync(entries) }

    func measureRoom() throws(LogError) { try log.write { (writer) throws(LogError) in try writer.measureRoom() } }

    func hasRoom(forBytes size: Int, usingSpare: Bool) -> Bool {
        log.hasRoom(forBytes: size, usingSpare: usingSpare)
    }

    func sealIfOlder(than age: Duration, now: UInt64) throws(LogError) -> LogSegment? {
        try log.write { (writer) throws(LogError) in try writer.sealIfOlder(than: age, now: now) }
    }

    /// The log goes on without a leader here.
    func close() {}
}
