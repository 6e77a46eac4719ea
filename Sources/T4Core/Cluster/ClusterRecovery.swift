package import T4Protocols

/// Lets a cluster go on whose nodes in sync are gone for good, from the most complete log that is left: the one in the store, or
/// that of a node which was not in sync.
///
/// One swap of the election record makes that log the one to begin with (docs/decisions/0009-cluster-protocol.md). What was
/// acknowledged and is in neither is lost. All nodes have to be stopped: a leader that still runs would go on acknowledging.
package struct ClusterRecovery: Sendable {
    /// Why there is nothing to recover, or it cannot be done.
    package enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        /// Nobody has ever led.
        case noRecord
        /// Everything that was acknowledged is in the store.
        case isComplete
        /// This directory has everything that was acknowledged.
        case isInSync
        /// The record was replaced meanwhile.
        case changed

        package var description: String {
            switch self {
            case .noRecord: "no node has ever led this database: start one with t4 run --peer-listen"
            case .isComplete:
                "nothing is to be recovered: everything that was acknowledged is in the object store, and any node takes over; "
                    + "start one"
            case .isInSync:
                "nothing is to be recovered: the node of this data directory was in sync, so that it has everything that was "
                    + "acknowledged; start it"
            case .changed: "another node has taken the lead meanwhile: look again"
            }
        }
    }

    /// The log on a disk.
    package struct Disk: Hashable, Sendable {
        /// Of the data directory.
        package var instance: String
        /// The last entry.
        package var end: LogPosition
        /// Its commit time, nanoseconds since 1970; 0 without entries.
        package var time: UInt64
    }

    /// Reads how far the log of a data directory goes, which is locked until `body` returns. Blocks.
    /// - Parameters:
    ///   - path: Nothing is made there.
    ///   - database: Which one the store has.
    ///   - body: Gets nil where there is no data directory.
    /// - Throws: For a directory that is in use, or of another database; what the log throws; what `body` throws.
    package static func withDisk<Result>(
        at path: String, of database: DatabaseID, _ body: (Disk?) throws -> Result
    ) throws -> Result {
        guard try DataDirectory.readIdentity(path) != nil else { return try body(nil) }
        let directory = try DataDirectory(path)
        defer { directory.unlock() }
        guard let identity = directory.identity else { return try body(nil) }
        guard identity.database == database else {
            throw DataDirectory.Failure(
                description: "the store holds database \(database), but \(path) belongs to database "
                    + "\(identity.database)")
        }
        let log = try Log.open(directory: directory.wal, databaseID: database, from: .max)
        log.writer.close()
        return try body(Disk(instance: identity.instance.description, end: log.end, time: log.lastTime))
    }

    /// What is left.
    package struct Findings: Hashable, Sendable {
        /// Who led last, with whom in sync.
        package var record: LeaderRecord
        /// The last entry of the log in the store, or that the newest checkpoint covers.
        package var stored: LogPosition
        /// Its commit time.
        package var storedTime: UInt64
        /// The highest term that the store knows of.
        package var term: UInt64
        /// The log of the data directory that was looked at.
        package var disk: Disk?

        /// Whether that has more than the store. A later term wins over a longer log, as in a take-over.
        package var isDiskAhead: Bool {
            disk.map { ($0.end.term, $0.end.index) > (stored.term, stored.index) } ?? false
        }
        /// The last entry that a recovery begins with.
        package var end: LogPosition { isDiskAhead ? disk?.end ?? stored : stored }
        /// The commit time of that entry: what was acknowledged later is lost.
        package var time: UInt64 { isDiskAhead ? disk?.time ?? storedTime : storedTime }
    }

    private let election: any Election
    private let chain: any ReplicaChain

    package init(_ election: any Election, _ chain: any ReplicaChain) {
        self.election = election
        self.chain = chain
    }

    /// Of the database that a store holds.
    package init(_ election: any Election, _ store: BlockingStore, _ database: DatabaseID) {
        self.init(
            election,
            StoreChain(LogChain(store, databaseID: database), CheckpointStore(store, databaseID: database)))
    }

    /// Looks at what is left. Changes nothing. Blocks.
    /// - Throws: `Failure`; what election and store throw.
    package func look(at disk: Disk?) throws -> Findings {
        let election = election
        guard let record = try BlockingCall.wait({ try await election.current() }) else { throw Failure.noRecord }
        if record.storeComplete { throw Failure.isComplete }
        if let disk, record.inSyncSet.contains(disk.instance) { throw Failure.isInSync }
        let reading = try chain.read(keepingBehind: .max)
        return Findings(
            record: record, stored: reading.view.log.last, storedTime: reading.time, term: reading.view.headerTerm,
            disk: disk)
    }

    /// Gives what was acknowledged and is not in `findings.end` up: the node of the data directory that was looked at is the one to
    /// begin with, or anybody with what is in the store. Blocks.
    /// - Parameter name: Of the node, for people.
    /// - Throws: `Failure.changed`, nothing has changed then; what the election throws.
    package func takeOver(_ findings: Findings, name: String) throws {
        let chosen = findings.isDiskAhead ? findings.disk : nil
        let term = max(findings.record.term, findings.term, findings.end.term)
        let next = LeaderRecord(
            term: term + 1, nodeID: name, instanceID: chosen?.instance ?? "", address: "",
            inSyncSet: chosen.map { [$0.instance] } ?? [], storeComplete: chosen == nil, sequence: 1,
            nonce: .random(in: 0...(.max)), isResigned: true)
        let (election, old) = (election, findings.record)
        guard case .won = try BlockingCall.wait({ try await election.campaign(with: next, replacing: old) }) else {
            throw Failure.changed
        }
    }
}
