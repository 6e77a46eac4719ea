public import T4Core
public import T4Protocols

/// Everything a node can be told, with its defaults.
///
/// Made by `load`, which checks every value and every combination, or by hand from the defaults.
public struct Configuration: Sendable {
    /// Who the node is and where it works.
    public struct Node: Hashable, Sendable {
        /// Name of this node: 1 ... 128 printable characters without spaces. `load` puts the host's name here when none
        /// is given.
        public var id = ""
        /// Folder of everything the node keeps on disk; created when it is missing.
        public var dataDirectory = "/var/lib/t4"
        /// Where etcd clients connect.
        public var listen = ListenAddress(host: "0.0.0.0", port: 3379)
    }

    /// What the node writes about itself, on standard error.
    public struct Log: Hashable, Sendable {
        /// The least important messages that are written.
        public var level = LogLevel.info
        /// How a line looks.
        public var format = LogFormat.text
        /// Requests that take so long or longer are told of: 1 ms ... 1 h, 0 for none.
        public var slowRequest = Duration.milliseconds(500)
    }

    /// The local engine.
    public struct Engine: Sendable {
        /// Its name in the registry.
        public var type = "lmdb"
        /// What is set for each engine, chosen or not, by name.
        var tables: [String: BackendSettings] = [:]

        /// The table `[engine.TYPE]` of the chosen engine, to be decoded by the engine itself.
        public var settings: BackendSettings { settings(of: type) }

        /// The table `[engine.NAME]` of any engine; empty where nothing is set.
        public func settings(of name: String) -> BackendSettings {
            tables[name] ?? BackendSettings(path: ["engine", name])
        }
    }

    /// The object store.
    public struct Store: Sendable {
        /// The type that stands for no object store.
        public static let none = "none"

        /// Its name in the registry, or `none`. `load` puts `none` here when no type is given and the registry has no
        /// store of the default type.
        public var type = "filesystem"
        /// What the names of all objects begin with: empty, or at most 513 bytes that end with a slash.
        public var prefix = ""
        /// What is set for each store, chosen or not, by name.
        var tables: [String: BackendSettings] = [:]

        /// The table `[store.TYPE]` of the chosen store, to be decoded by the store itself.
        public var settings: BackendSettings { settings(of: type) }

        /// The table `[store.NAME]` of any store; empty where nothing is set.
        public func settings(of name: String) -> BackendSettings {
            tables[name] ?? BackendSettings(path: ["store", name])
        }
    }

    /// The write-ahead log.
    public struct WAL: Hashable, Sendable {
        /// When a write is acknowledged. `load` puts `.replicated` here when none is given and there are peers, else
        /// `.objectStore` when the store lies outside of the data directory.
        public var durability = Durability.local
        /// A segment that has reached this size is sealed: 1 MiB ... 4 GiB.
        public var segmentSizeMax = ByteCount.mebibytes(50)
        /// A segment whose first entry is of this age is sealed by the next one: 100 ms ... 24 h.
        public var segmentAgeMax = Duration.seconds(10)
        /// Most uploads of the log at once: 1 ... 64.
        public var uploadsInFlightMax = 4
    }

    /// When checkpoints are made, and how long they stay.
    public struct Checkpoint: Hashable, Sendable {
        /// How often one is made: 1 s ... 30 days, 0 for never by time.
        public var interval = Duration.seconds(900)
        /// After how many log entries one is made: 1 ... 1,000,000,000, 0 for never by number.
        public var entries = 0
        /// How many of the newest stay: 1 ... 100,000.
        public var keepCount = 3
        /// Those that are younger stay too: 1 s ... 3650 days, or 0.
        public var retention = Duration.seconds(86_400)
        /// Whether the node deletes what does not stay, and what only that used.
        public var collects = true
        /// Whether the first one of a run is written anew from the rows of the engine.
        public var beginsAnew = false
    }

    /// The database that a new one begins as a branch of; nothing for one that exists.
    public struct Branch: Hashable, Sendable {
        /// Prefix of the other database in the same store, as `Store.prefix`.
        public var prefix = ""
        /// Name of a checkpoint below that prefix; empty for no branch.
        public var checkpoint = ""
    }

    /// The moment of another database that a new one begins with; nothing for one that exists.
    public struct Restore: Hashable, Sendable {
        /// Nil for none.
        public var pointTime: Timestamp?
    }

    /// A copy of a database that is written elsewhere.
    public struct Replica: Hashable, Sendable {
        /// Whether the node serves one.
        public var isEnabled = false
        /// How often it looks into the store: 10 ms ... 1 h.
        public var interval = Duration.seconds(1)
    }

    /// What clients may ask of the node.
    public struct Server: Hashable, Sendable {
        /// Largest encoded request: 1 KiB ... 32 MiB, so that every value fits every engine.
        public var requestSizeMax = ByteCount.kibibytes(1536)
        /// Most compares, and most operations of each branch, of one transaction: 1 ... 1,000,000.
        public var txnOperationsMax = 128
        /// Most requests and streams that one connection may have open at once: 1 ... 2^31 - 1.
        public var concurrentStreamsMax = 65_536
        /// Most requests and streams that all connections together may have open: 1 ... 2^31 - 1.
        public var openStreamsMax = 262_144
        /// Most connections at once: 1 ... 1,000,000. Further ones are closed at once.
        public var connectionsMax = 10_000
        /// Largest header list of a request, 32 bytes for each field counted on top: 4 ... 1024 KiB.
        public var headerListSizeMax = ByteCount.kibibytes(64)
        /// Most bytes of unread answers of one connection: 256 KiB ... 1 GiB. Beyond it the connection's requests wait.
        public var unreadBytesMax = ByteCount.mebibytes(16)
        /// Most bytes of incomplete and waiting requests of one connection: 1 MiB ... 16 GiB, and at least
        /// twice `requestSizeMax`. Further ones are refused.
        public var incompleteBytesMax = ByteCount.mebibytes(128)
        /// Most bytes of both on all connections: 8 MiB ... 64 GiB. Beyond it the connection with the most is closed.
        public var bufferedBytesMax = ByteCount.mebibytes(512)
        /// How many streams a client may reset in a second: 1 ... 1,000,000; ten times that in one go.
        public var resetsPerSecond = 1_000
        /// How many frames that ask for nothing a client may send in a second: 1 ... 1,000,000; ten times that in one go.
        public var controlFramesPerSecond = 1_000
        /// Time for a client to begin to speak HTTP/2: 100 ms ... 1 h.
        public var handshakeTimeout = Duration.seconds(20)
        /// Time for a request to arrive: 100 ms ... 24 h.
        public var requestTimeout = Duration.seconds(60)
        /// Event loops: 1 ... 1024; 0 chooses by the number of processors.
        public var threads = 0
        /// A client that pings more often than this is cut off: 0 ... 24 h, 0 for never.
        public var keepaliveTimeMin = Duration.seconds(5)
        /// A connection that is silent for so long is pinged: 1 s ... 30 days.
        public var keepaliveInterval = Duration.seconds(7200)
        /// A ping that stays unanswered for so long ends the connection: 100 ms ... 1 h.
        public var keepaliveTimeout = Duration.seconds(20)
        /// Whether clients may ping while no request is open.
        public var keepalivePermitWithoutStream = true
        /// Size at which the database counts as full, and the NOSPACE alarm is raised.
        public var quota = SizeLimit.none
        /// How often the rows of the engine are compared with their digest: 1 s ... 3650 days, 0 for never.
        public var corruptCheckInterval = Duration.zero
    }

    /// TLS on the port of the clients; off without a certificate.
    public struct ClientTLS: Hashable, Sendable {
        /// File of the node's certificate and those above it; empty for none.
        public var certificate = ""
        /// File of its private key; empty for none.
        public var key = ""
        /// File of the CAs of the clients' certificates; empty where clients need none.
        public var clientAuthority = ""

        /// Whether TLS is spoken.
        public var isOn: Bool { !certificate.isEmpty }
    }

    /// The other nodes of a cluster; without `listen` the node is alone.
    public struct Peer: Hashable, Sendable {
        /// Where other nodes connect, HOST:PORT; empty where the node is alone.
        public var listen = ""
        /// Where others reach it, HOST:PORT; empty for `listen`.
        public var advertise = ""
        /// A write is acknowledged by so many nodes at least: 1 ... 9. The same on all nodes.
        public var inSyncMin = 1
        /// Whether the node follows, never leads, and takes no writes.
        public var isReadOnly = false

        /// Where other nodes connect; nil where the node is alone.
        public var address: ListenAddress? { listen.isEmpty ? nil : ListenAddress(listen) }
    }

    /// TLS between nodes; off without a certificate.
    public struct PeerTLS: Hashable, Sendable {
        /// File of the node's certificate and those above it, for servers and clients; empty for none.
        public var certificate = ""
        /// File of its private key; empty for none.
        public var key = ""
        /// File of the CAs of all nodes; empty for none.
        public var authority = ""

        /// Whether TLS is spoken.
        public var isOn: Bool { !certificate.isEmpty }
    }

    /// Who leads a cluster.
    public struct Election: Sendable {
        /// Its name in the registry.
        public var type = "object-store"
        /// A leader that is not heard for so long is replaced by another node in sync: 100 ms ... 60 s. The same on all nodes.
        public var timeout = Duration.milliseconds(1500)
        /// A node that is not in sync waits for so long until it takes over, where everything is in the object store: twice
        /// `timeout` ... 10 min. The same on all nodes.
        public var leadershipTTL = Duration.seconds(5)
        /// What is set for each election, chosen or not, by name.
        var tables: [String: BackendSettings] = [:]

        /// The table `[election.TYPE]` of the chosen election, to be decoded by the election itself.
        public var settings: BackendSettings { tables[type] ?? BackendSettings(path: ["election", type]) }
    }

    /// Watches.
    public struct Watch: Hashable, Sendable {
        /// How often an idle watch that asks for progress hears of it: 100 ms ... 24 h.
        public var progressInterval = Duration.seconds(600)
        /// Most watches at once: 1 ... 2^31 - 1.
        public var watchesMax = 1_000_000
    }

    /// Leases.
    public struct Lease: Hashable, Sendable {
        /// A shorter TTL is raised to this: 1 s ... 1 h, whole seconds.
        public var ttlMin = Duration.seconds(2)
    }

    /// History that the node drops by itself.
    public struct Compaction: Hashable, Sendable {
        /// What `retention` counts.
        public var mode = CompactionMode.periodic
        /// How much stays; the number 0 for all. A plain number counts hours in mode `periodic`: 0 ... 87,600. A time,
        /// 1 s ... 3650 days, goes with that mode only.
        public var retention = RetentionSetting.number(0)

        /// What a node is told; nil to keep everything.
        public var nodeRetention: CompactionRetention? {
            switch (mode, retention) {
            case (_, .number(0)): nil
            case (.revision, .number(let count)): .revisions(Int64(count))
            case (_, .number(let hours)): .time(.seconds(3600 * hours))
            case (_, .time(let time)): .time(time)
            }
        }
    }

    /// Who may do what.
    public struct Auth: Hashable, Sendable {
        /// Whether requests are checked once clients have turned authentication on in the database.
        public var isEnforced = true
        /// What proves a login.
        public var tokens = AuthTokens.simple
        /// How long a login with a simple token lasts after its last use: 1 s ... 30 days.
        public var tokenTTL = Duration.seconds(300)
        /// Cost of the hashes of passwords: 4 ... 20.
        public var bcryptCost = 10
    }

    /// The queue in front of the log.
    public struct Commit: Hashable, Sendable {
        /// Most writes that wait for the log; further ones are refused with "too many requests": 1 ... 10,000,000.
        public var queueRequestsMax = 16_384
        /// Most bytes of waiting writes: at least `server.max_request_bytes`, at most 64 GiB.
        public var queueBytesMax = ByteCount.mebibytes(128)
    }

    /// Who the node is and where it works.
    public var node = Node()
    /// What the node writes about itself.
    public var log = Log()
    /// The local engine.
    public var engine = Engine()
    /// The object store.
    public var store = Store()
    /// The write-ahead log.
    public var wal = WAL()
    /// When checkpoints are made, and how long they stay.
    public var checkpoint = Checkpoint()
    /// The database that a new one begins as a branch of.
    public var branch = Branch()
    /// The moment of another database that a new one begins with.
    public var restore = Restore()
    /// What clients may ask of the node.
    public var server = Server()
    /// TLS on the port of the clients.
    public var clientTLS = ClientTLS()
    /// The other nodes of a cluster.
    public var peer = Peer()
    /// TLS between nodes.
    public var peerTLS = PeerTLS()
    /// Who leads a cluster.
    public var election = Election()
    /// A copy of a database that is written elsewhere.
    public var replica = Replica()
    /// Watches.
    public var watch = Watch()
    /// Leases.
    public var lease = Lease()
    /// History that the node drops by itself.
    public var compaction = Compaction()
    /// Who may do what.
    public var auth = Auth()
    /// The queue in front of the log.
    public var commit = Commit()

    /// Where each value that is not a default comes from, by full key.
    public internal(set) var origins: [String: ConfigurationError.Location] = [:]
    /// What is odd but no error, one sentence each: environment variables that look like settings and are none.
    public internal(set) var warnings: [String] = []

    /// The defaults; the node's id is empty.
    public init() {}
}
