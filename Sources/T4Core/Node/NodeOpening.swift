import Logging
import T4Protocols

/// Everything on disk and in the store that a starting node works on, brought up to the end of the log.
struct OpenedNode {
    var directory: DataDirectory
    var identity: DataDirectory.Identity
    var home: EngineHome
    var engine: any LocalEngine
    var recovered: Recovery.Recovered
    /// The entry that this run began its term with; on disk, and not yet in the store.
    var first: LogEntry
    var link: StoreLink?
    /// Writes checkpoints; nil without a store.
    var writer: CheckpointWriter?
    /// The last entry that the newest checkpoint covers.
    var covered: UInt64
    /// On a database that was a cluster's.
    var claim: LoneClaim?

    var log: LogWriter { recovered.writer }

    /// Lets go of everything, after a start that failed.
    func close(_ logger: Logger) {
        do {
            try claim?.giveBack()
        } catch {
            logger.warning("that this node did not start could not be noted in the election record: \(error)")
        }
        log.close()
        do { try engine.close() } catch { logger.warning("the engine did not close: \(error)") }
        directory.unlock()
    }
}

/// Opens what a node works on: the first part of its start, after which the store has to take its first entry.
struct NodeOpening {
    let configuration: NodeConfiguration
    let registry: BackendRegistry
    let logger: Logger
    private let clock: Clock
    private let timer: BackoffTimer

    init(
        _ configuration: NodeConfiguration, registry: BackendRegistry, logger: Logger, clock: Clock,
        timer: BackoffTimer
    ) {
        self.configuration = configuration
        self.registry = registry
        self.logger = logger
        self.clock = clock
        self.timer = timer
    }

    /// - Parameter store: What the configuration names, open.
    func run(_ store: (any ObjectStore)?) throws -> OpenedNode {
        let link = try makeLink(store)
        return try withDirectory(link) { directory, identity in
            let opened = try open(directory, identity, link)
            try endMirroring(opened)
            return opened
        }
    }

    /// Opens what a read replica works on.
    /// - Parameter store: What the configuration names, open.
    func run(following store: (any ObjectStore)?) throws -> OpenedReadReplica { try runReadReplica(makeLink(store)) }

    /// Opens what a node of a cluster works on, and connects it to the others.
    /// - Parameter store: What the configuration names, open.
    func run(_ store: any ObjectStore, in cluster: NodeCluster) throws -> OpenedReplica {
        guard let link = try makeLink(store) else {
            throw StoreLink.Failure(description: "a cluster needs an object store, and none is configured")
        }
        var hasSetAside = false
        while true {
            do {
                return try withDirectory(link) { directory, identity in
                    do {
                        return try openReplica(directory, identity, link, cluster)
                    } catch let failure as ReplicaOpening.Failure {
                        if case .conflict = failure, !hasSetAside { try setAside(directory, because: failure) }
                        throw failure
                    }
                }
            } catch ReplicaOpening.Failure.conflict where !hasSetAside {
                hasSetAside = true
            }
        }
    }

    /// What this node has applied was given up by the others: it begins anew, as another instance.
    private func setAside(_ directory: DataDirectory, because reason: ReplicaOpening.Failure) throws {
        try directory.beginSettingAside()
        logger.error(
            """
            this node has applied what the cluster has given up or never committed: its directory is set aside, and the node begins \
            anew
            """, metadata: ["reason": "\(reason)", "aside": "\(directory.path)/aside-1"])
    }

    /// Locks the directory, and unlocks it again if the rest fails.
    private func withDirectory<Opened>(
        _ link: StoreLink?, _ open: (DataDirectory, DataDirectory.Identity) throws -> Opened
    ) throws -> Opened {
        let directory = try DataDirectory(configuration.dataDirectory)
        do {
            try requireSpace()
            if let cluster = configuration.mirroredCluster { try MirrorMark.require(cluster, directory.path) }
            try link?.probe()
            let identity = try StoreTie(
                directory: directory, store: link?.blocking, isInside: configuration.store?.isInside ?? false,
                branch: configuration.store?.branch,
                parent: { prefix in
                    guard let link else { preconditionFailure("a branch belongs to a store") }
                    return try link.parent(prefix)
                }, clock: clock, gather: { try gather(directory, $0) }
            ).run()
            return try open(directory, identity)
        } catch {
            directory.unlock()
            throw error
        }
    }

    /// A directory that was restored becomes a database of its own: what pieces of the log brought it goes into the engine, and the log,
    /// which is that of the database it comes from, goes. A start that is cut off in between does it again.
    private func gather(
        _ directory: DataDirectory, _ identity: DataDirectory.Identity
    ) throws -> DataDirectory.Identity {
        let home = makeHome(directory)
        let recovery = try Recovery(
            directory: directory, identity: identity, home: home, files: configuration.logFiles,
            configuration: configuration.log, logger: logger)
        let recovered = try recovery.run(nil)
        var identity = identity
        do {
            guard !recovered.engine.capabilities.isVolatile else {
                throw StoreTie.Failure(
                    description:
                        "\(directory.path) is a copy whose engine keeps nothing on disk: start it with the store and the "
                        + "prefix of its database, or make another one with t4 restore")
            }
            let meta = try StateReader(recovered.engine.snapshot()).meta
            try recovered.engine.sync()
            identity.origin = Manifest.Lineage(
                database: identity.database.description, term: recovered.end.term, index: recovered.end.index,
                revision: meta.revision.rawValue)
        } catch {
            recovered.writer.close()
            do { try recovered.engine.close() } catch { logger.warning("the engine did not close: \(error)") }
            throw error
        }
        recovered.writer.close()
        try recovered.engine.close()
        try home.markClean()
        try directory.setIdentity(identity)
        if !recovery.isLogEmpty { try DurableFile.removeTree(directory.setLogAside()) }
        return identity
    }

    /// A node that serves makes revisions of its own.
    private func endMirroring(_ opened: OpenedNode) throws {
        guard configuration.mirroredCluster == nil else { return }
        do {
            try MirrorMark.remove(configuration.dataDirectory)
        } catch {
            opened.close(logger)
            throw error
        }
    }

    /// A start copies the end of the log, and engines write files when they are opened; not all of them fail in good order
    /// where that is impossible.
    func requireSpace() throws {
        let path = configuration.dataDirectory
        let (free, needed) = (try configuration.logFiles.freeBytes(path), 4 * configuration.log.preallocationSizeMin)
        guard free < needed else { return }
        throw DataDirectory.Failure(
            description: "No space left on device: the disk of \(path) has \(free) bytes, a start needs \(needed)")
    }

    private func makeLink(_ store: (any ObjectStore)?) throws -> StoreLink? {
        let waits =
            configuration.cluster.map { $0.durability == .objectStore } ?? (configuration.durability == .objectStore)
        guard let settings = configuration.store, let store else {
            guard !waits else {
                throw StoreLink.Failure(description: "durability in an object store needs one, and none is configured")
            }
            return nil
        }
        return StoreLink(
            settings, root: store, waits: waits, files: configuration.logFiles, timer: timer, logger: logger)
    }

    private var author: CheckpointWriter.Author {
        CheckpointWriter.Author(
            node: configuration.name, engine: configuration.engine, software: configuration.software)
    }

    /// What a branch without a checkpoint begins with; nil for other databases.
    private func beginning(of identity: DataDirectory.Identity, _ link: StoreLink) throws -> BranchBeginning? {
        guard let branch = try DatabaseObject.read(link.blocking)?.branch else { return nil }
        let parent = try link.parent(branch.prefix)
        let writer = CheckpointWriter(
            link.checkpoints(identity.database), databaseID: identity.database, lineage: identity.lineage,
            author: author, clock: clock, readLog: parent.readLog)
        let point = BranchPoint(prefix: branch.prefix, checkpoint: branch.checkpoint, index: branch.index)
        return try BranchBeginning(parent, point, writer)
    }

    func makeHome(_ directory: DataDirectory) -> EngineHome {
        let (registry, settings, type) = (registry, configuration.engineSettings, configuration.engine)
        return EngineHome(directory, type: type, logger: logger) { context in
            try registry.makeEngine(type, settings: settings, context: context)
        }
    }

    private func openReplica(
        _ directory: DataDirectory, _ identity: DataDirectory.Identity, _ link: StoreLink, _ cluster: NodeCluster
    ) throws -> OpenedReplica {
        let (database, receiver) = (identity.database, ReplicaReceiver())
        let connection = try cluster.connect(
            NodeCluster.Member(
                database: database, nodeID: configuration.name, instance: identity.instance.description), receiver)
        var settings = ReplicaConfiguration(
            nodeID: configuration.name, instanceID: identity.instance.description, address: connection.address,
            durability: cluster.durability, seed: .random(in: 0...(.max)))
        settings.electionTimeout = cluster.electionTimeout
        settings.leadershipTTL = cluster.leadershipTTL
        settings.recordInterval = cluster.recordInterval
        settings.inSyncMin = cluster.inSyncMin
        settings.isReadOnly = cluster.isReadOnly
        var attempts = 0
        while true {
            do {
                return try openReplica(directory, identity, link, cluster, settings, receiver, connection)
            } catch ReplicaOpening.Failure.tooFarBack where attempts < NodeOpening.attemptsMax {
                // A checkpoint was made since this looked for the newest one.
                attempts += 1
            } catch {
                connection.close()
                throw error
            }
        }
    }

    private static let attemptsMax = 16

    private func openReplica(
        _ directory: DataDirectory, _ identity: DataDirectory.Identity, _ link: StoreLink, _ cluster: NodeCluster,
        _ settings: ReplicaConfiguration, _ receiver: ReplicaReceiver, _ connection: NodeCluster.Connection
    ) throws -> OpenedReplica {
        let (home, database) = (makeHome(directory), identity.database)
        let newest = try link.checkpoints(database).headOrStandIn()?.head.position ?? .zero
        let found = try Recovery(
            directory: directory, identity: identity, home: home, files: configuration.logFiles,
            configuration: configuration.log, logger: logger
        ).runInCluster(
            Recovery.Store(
                chain: link.chain(database), checkpoints: link.checkpoints(database), trail: link.trail,
                promisesWithChainOnly: false, branch: { try beginning(of: identity, link) }))
        do {
            let chain = StoreChain(
                link.chain(database), link.checkpoints(database),
                passedOver: found.hasPassedOver
                    ? StoreChain.PassedOver(newest: newest, loaded: try found.engine.appliedPosition) : nil)
            let (replica, time) = try ReplicaOpening(settings, engine: found.engine, chain: chain, clock: timer.clock)
                .run(found.log) { try BlockingCall.wait { try await cluster.election.current() } }
            let (wal, author, clock) = (directory.wal, author, clock)
            return OpenedReplica(
                directory: directory, identity: identity, home: home, engine: found.engine,
                log: OpenedReplica.Opened(writer: found.log.writer), link: link, chain: chain,
                covered: found.covered, hasPassedOver: found.hasPassedOver, replica: replica, time: time,
                receiver: receiver, connection: connection,
                makeWriter: {
                    link.writer(database, lineage: identity.lineage, wal: wal, author: author, clock: clock)
                })
        } catch {
            found.log.writer.close()
            do { try found.engine.close() } catch { logger.warning("the engine did not close: \(error)") }
            throw error
        }
    }

    /// What the election record says, where there is one.
    /// - Throws: Where a node alone would take the log away from a cluster that has not ended, or from another node.
    private func requireNoCluster(_ link: StoreLink, _ identity: DataDirectory.Identity) throws -> LeaderRecord? {
        guard let object = try link.blocking.find(StoreLayout.election) else { return nil }
        let record = try ElectionObject.record(object.bytes, key: StoreLayout.election)
        if LoneClaim.isFree(record, for: identity.instance.description) { return record }
        guard !record.address.isEmpty else {
            throw StoreLink.Failure(
                description:
                    "\(record.nodeID) has acknowledged writes that are not in the store: start that node; if its "
                    + "disk is lost, see t4 recover")
        }
        let state = record.isResigned ? "has not everything in the store" : "was not ended in good order"
        throw StoreLink.Failure(
            description: "the database is that of a cluster, which \(record.nodeID) led last at \(record.address), in "
                + "term \(record.term), and which \(state): start the node with --peer-listen, or do that with one of "
                + "the cluster and stop it as the last one")
    }

    private func open(
        _ directory: DataDirectory, _ identity: DataDirectory.Identity, _ link: StoreLink?
    ) throws -> OpenedNode {
        let record = try link.flatMap { try requireNoCluster($0, identity) }
        let home = makeHome(directory)
        let database = identity.database
        let recovered = try Recovery(
            directory: directory, identity: identity, home: home, files: configuration.logFiles,
            configuration: configuration.log,
            logger: logger
        ).run(
            link.map { link in
                Recovery.Store(
                    chain: link.chain(database), checkpoints: link.checkpoints(database), trail: link.trail,
                    promisesWithChainOnly: link.waits,
                    branch: { try beginning(of: identity, link) })
            })
        // Alone, a node wins every election: a new term per start, so that no position is ever given twice.
        let first = LogEntry(
            position: LogPosition(
                term: max(recovered.term, record?.term ?? 0) + 1, index: recovered.end.index + 1),
            time: max(clock.wall(), recovered.lastTime), revision: .none, kind: .term, body: [])
        var opened = OpenedNode(
            directory: directory, identity: identity, home: home, engine: recovered.engine, recovered: recovered,
            first: first, link: link, covered: recovered.checkpoint?.index ?? 0)
        do {
            if let link, let record {
                opened.claim = try LoneClaim.take(
                    link.retrying, from: record, term: first.position.term, node: configuration.name,
                    instance: identity.instance.description,
                    isComplete: link.waits && (record.storeComplete || recovered.tail.isEmpty))
            }
            opened.writer = link?.writer(
                database, lineage: identity.lineage, wal: directory.wal, author: author, clock: clock)
            if recovered.needsSeed, let writer = opened.writer {
                let reader = try StateReader(opened.engine.snapshot())
                let mark = StateTrail.Mark(position: recovered.end, meta: reader.meta, time: recovered.lastTime)
                opened.covered = try writer.seed(mark, from: reader).file.checkpoint.index
            }
            try opened.log.appendAndSync([first])
            return opened
        } catch {
            opened.close(logger)
            throw error
        }
    }
}
