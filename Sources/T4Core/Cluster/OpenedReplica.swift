import Logging
import T4Protocols

/// Everything on disk and in the store that a node of a cluster works on, brought to where it may take part.
struct OpenedReplica: Sendable {
    var directory: DataDirectory
    var identity: DataDirectory.Identity
    var home: EngineHome
    var engine: any LocalEngine
    var log: Opened
    var link: StoreLink
    var chain: StoreChain
    /// The last entry that the newest checkpoint covers.
    var covered: UInt64
    /// A checkpoint could not be loaded, and others are not to use its tables again.
    var hasPassedOver: Bool
    var replica: Replica
    /// Commit time of the log's last entry.
    var time: UInt64
    var receiver: ReplicaReceiver
    var connection: NodeCluster.Connection
    /// Makes what writes the checkpoints of a leadership.
    var makeWriter: @Sendable () -> CheckpointWriter

    /// Lets go of everything, after a start that failed.
    func close(_ logger: Logger) {
        connection.close()
        log.writer.close()
        do { try engine.close() } catch { logger.warning("the engine did not close: \(error)") }
        directory.unlock()
    }

    /// The log, for whoever it is handed to.
    struct Opened: @unchecked Sendable {
        // Sendable: the opening thread hands it over, and never touches it again.
        var writer: LogWriter
    }
}
