import Logging
import RPC
import T4Config
import T4Core
import T4Protocols
import T4Server

/// What the nodes of a cluster have in common, open: store and election. Close it after the node.
struct OpenedCluster: Sendable {
    private let root: any ObjectStore
    private let cluster: NodeCluster
    private static let recentBytes = 32 << 20

    /// - Returns: Nil for a node that is alone.
    /// - Throws: What is wrong with the store, the election or a file of TLS; nothing is left open.
    static func open(
        _ configuration: Configuration, _ registry: BackendRegistry, _ logger: Logger
    ) async throws -> OpenedCluster? {
        guard let listen = configuration.peer.address else { return nil }
        var settings = PeerCluster.Settings(listenHost: listen.host, listenPort: listen.port)
        settings.address = configuration.peer.advertise
        settings.tls = try configuration.peerTLS.load(logger)
        let root = try await registry.makeStore(
            configuration.store.type, settings: configuration.store.settings,
            context: StoreContext(dataDirectory: configuration.node.dataDirectory, logger: logger))
        do {
            let election = try await openElection(configuration, on: root, registry, logger)
            var cluster = NodeCluster(
                election: election,
                durability: configuration.wal.durability == .objectStore ? .objectStore : .replicated,
                connect: PeerCluster(settings, logger: logger).connect)
            cluster.electionTimeout = configuration.election.timeout
            cluster.leadershipTTL = configuration.election.leadershipTTL
            cluster.recordInterval = configuration.election.timeout / 3
            cluster.inSyncMin = configuration.peer.inSyncMin
            cluster.isReadOnly = configuration.peer.isReadOnly
            return OpenedCluster(root: root, cluster: cluster)
        } catch {
            await root.close()
            throw error
        }
    }

    /// Opens the configured election.
    /// - Parameter root: The configured store, without the prefix.
    static func openElection(
        _ configuration: Configuration, on root: any ObjectStore, _ registry: BackendRegistry, _ logger: Logger
    ) async throws -> any Election {
        try await registry.makeElection(
            configuration.election.type, settings: configuration.election.settings,
            context: ElectionContext(
                dataDirectory: configuration.node.dataDirectory,
                store: PrefixedStore(root, prefix: configuration.store.prefix), logger: logger))
    }

    /// Makes a node one of the cluster.
    func join(_ settings: inout NodeConfiguration) {
        settings.store?.source = .opened(root)
        settings.cluster = cluster
        // Followers that are close behind are served from memory.
        settings.log.recentSizeMax = OpenedCluster.recentBytes
    }

    /// Closes the store.
    func close() async { await root.close() }
}

extension Configuration.PeerTLS {
    /// Reads the files; nil where TLS is off.
    fileprivate func load(_ logger: Logger) throws(CredentialFileError) -> PeerTLS? {
        guard isOn else { return nil }
        return try PeerTLS(
            certificate: CredentialFile(setting: "peer_tls.cert", path: certificate),
            key: CredentialFile(setting: "peer_tls.key", path: key),
            authority: CredentialFile(setting: "peer_tls.ca", path: authority), logger: logger)
    }
}
