import Logging
import T4Protocols

/// What a read replica works on: log and engine agree, and neither ends before the newest checkpoint.
struct OpenedReadReplica {
    var directory: DataDirectory
    var identity: DataDirectory.Identity
    var home: EngineHome
    var engine: any LocalEngine
    var log: Log.Opened
    /// The last entry of the log; the engine has applied everything up to it.
    var end: LogPosition
    /// Where the database is kept; nil for a copy that only `t4 replay` brings further.
    var link: StoreLink?
    /// Entries that the engine did not have.
    var replayed: UInt64

    /// Lets go of everything, after a start that failed.
    func close(_ logger: Logger) {
        log.writer.close()
        do { try engine.close() } catch { logger.warning("the engine did not close: \(error)") }
        directory.unlock()
    }
}

extension NodeOpening {
    /// Opens what a read replica works on. The store is only read.
    func runReadReplica(_ link: StoreLink?) throws -> OpenedReadReplica {
        let directory = try DataDirectory(configuration.dataDirectory)
        do {
            try requireSpace()
            let identity = try readReplicaIdentity(directory, link)
            let home = makeHome(directory)
            let recovery = try Recovery(
                directory: directory, identity: identity, home: home, files: configuration.logFiles,
                configuration: configuration.log, logger: logger)
            let database = identity.database
            try recovery.runReadReplica(
                link.map { link in
                    Recovery.Store(
                        chain: link.chain(database), checkpoints: link.checkpoints(database), trail: link.trail,
                        promisesWithChainOnly: false, branch: { nil })
                })
            return OpenedReadReplica(
                directory: directory, identity: identity, home: home, engine: recovery.engine, log: recovery.log,
                end: recovery.log.end, link: link, replayed: recovery.replayed)
        } catch {
            directory.unlock()
            throw error
        }
    }

    /// Whose copy the directory is. A new one becomes one of the store's database, tied to no store: a node that serves it later decides
    /// as after a restore.
    private func readReplicaIdentity(_ directory: DataDirectory, _ link: StoreLink?) throws -> DataDirectory.Identity {
        let there = try link.flatMap { try DatabaseObject.read($0.blocking) }
        if link != nil, there == nil {
            throw StoreLink.Failure(
                description:
                    "there is no database in the object store to follow: check type, bucket and prefix of the store")
        }
        if let identity = directory.identity {
            if let there, there.id != identity.database {
                throw StoreTie.Failure(
                    description: "the store holds database \(there.id), but \(directory.path) belongs to database "
                        + "\(identity.database): use the store's prefix of that database, or another data directory")
            }
            return identity
        }
        guard let there else {
            throw StoreLink.Failure(
                description:
                    "a read replica needs a database to follow: name its object store, or make \(directory.path) of a "
                    + "backup with t4 restore")
        }
        var random = SystemRandomNumberGenerator()
        let origin = Manifest.Lineage(database: there.id.description, term: 0, index: 0, revision: 0)
        let identity = DataDirectory.Identity(
            database: there.id, instance: .random(using: &random), tie: .restored, lineage: there.lineage,
            origin: origin)
        try directory.setIdentity(identity)
        return identity
    }
}

extension Recovery {
    /// Brings log and engine to the end of the local log, and not before the newest checkpoint.
    func runReadReplica(_ store: Store?) throws {
        do {
            if let store {
                _ = try reachCheckpoint(store)
            } else {
                try checkRestored()
                try beginBehindRestore()
            }
            try checkReach()
            try replayLog(through: .max)
        } catch {
            log.writer.close()
            do { try engine.close() } catch { logger.warning("the engine did not close: \(error)") }
            throw error
        }
    }
}
