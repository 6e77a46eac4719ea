package import Logging
package import RPC
package import T4Core

/// Who a node is to the other nodes of its cluster, where it listens for them, and its limits.
package struct PeerConfiguration: Sendable {
    /// The database; nodes of another one are refused.
    package var databaseID: DatabaseID
    /// The configured name.
    package var nodeID: String
    /// Fresh with each data directory.
    package var instanceID: String
    /// Where others reach this node, HOST:PORT; empty for where it listens.
    package var address = ""
    /// A name or an IP address.
    package var listenHost: String
    /// 0 ... 65535; with 0 the system chooses.
    package var listenPort: Int
    /// Different in each process, which tells a copied data directory from a connection of this process to itself.
    package var process: UInt64

    /// What TLS is spoken with; nil: none.
    package var tls: PeerTLS?

    /// Largest message, in bytes: no log entry may be larger. 64 MiB.
    package var messageBytesMax = 64 << 20
    /// An append whose entries take more bytes travels as several. 1 MiB.
    package var pieceBytes = 1 << 20
    /// Bytes that may wait for each peer; a message that would go beyond is dropped, unless nothing waits. 64 MiB.
    package var queueBytesMax = 64 << 20
    /// Received bytes of each peer that may wait to be dealt with: beyond it nothing more is read from it. 32 MiB.
    package var inboxBytesMax = 32 << 20
    /// A connection on which nothing is received, not even the answer to a ping, for so long is closed; half of it passes before
    /// the ping. 5 s.
    package var keepalive = Duration.seconds(5)
    /// Time for a connection to be established, and once more for the TLS handshake. 2 s.
    package var connectTimeout = Duration.seconds(2)

    /// Fills in what has no default.
    package init(
        databaseID: DatabaseID, nodeID: String, instanceID: String, listenHost: String, listenPort: Int,
        process: UInt64
    ) {
        self.databaseID = databaseID
        self.nodeID = nodeID
        self.instanceID = instanceID
        self.listenHost = listenHost
        self.listenPort = listenPort
        self.process = process
    }

    /// Of the side that others dial.
    var serving: RPCServerConfiguration {
        var configuration = RPCServerConfiguration()
        configuration.messageSizeMax = messageBytesMax
        configuration.concurrentStreamsMax = 1024
        configuration.connectionsMax = 256
        configuration.requestBytesMax = max(configuration.requestBytesMax, 2 * messageBytesMax)
        // What waits on a stream must not hold up the questions on the same connection.
        configuration.outputBytesMax = 2 * queueBytesMax + messageBytesMax
        configuration.bufferedBytesMax = max(
            configuration.bufferedBytesMax, 8 * (configuration.outputBytesMax + configuration.requestBytesMax))
        configuration.streamWindow = PeerConfiguration.streamWindow
        configuration.keepaliveTime = keepalive / 2
        configuration.keepaliveTimeout = keepalive / 2
        configuration.pingIntervalMin = .zero
        configuration.metadataKeys = []
        configuration.tls = tls?.server
        return configuration
    }

    /// Of the side that dials.
    func dialling(_ tls: RPCClientTLS?) -> RPCClientConfiguration {
        var configuration = RPCClientConfiguration()
        configuration.messageSizeMax = messageBytesMax
        configuration.connectTimeout = connectTimeout
        configuration.streamWindow = PeerConfiguration.streamWindow
        configuration.keepaliveTime = keepalive / 2
        configuration.keepaliveTimeout = keepalive / 2
        configuration.tls = tls
        return configuration
    }

    /// A peer can send so much more after this node has stopped to read.
    private static let streamWindow = 4 << 20
}

/// Mutual TLS 1.3: one certificate for both directions, and the CA of all nodes. The files are read again for each new
/// connection.
package struct PeerTLS: Sendable {
    let server: RPCServerTLS
    let client: RPCClientTLSFiles

    /// Reads the files; blocks.
    /// - Parameters:
    ///   - certificate: For this node's name or address, with those between it and a root behind it; for servers and clients.
    ///   - key: Its private key.
    ///   - authority: The CAs that sign the certificates of nodes.
    /// - Throws: The first thing that is wrong with a file.
    package init(
        certificate: CredentialFile, key: CredentialFile, authority: CredentialFile, logger: Logger
    ) throws(CredentialFileError) {
        server = try RPCServerTLS(
            certificate: certificate, key: key, clientAuthority: authority, minimum: .tls13, logger: logger)
        client = try RPCClientTLSFiles(
            authority: authority, certificate: (certificate, key), minimum: .tls13, logger: logger)
    }
}
