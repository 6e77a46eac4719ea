public import T4Protocols

/// What a node needs to start.
public struct NodeConfiguration: Sendable {
    /// Where the node keeps everything; made if it does not exist.
    public var dataDirectory: String
    /// Name of the engine in the registry.
    public var engine: String
    /// The engine's own settings.
    public var engineSettings: any SettingsSource
    /// Size in bytes at which a log segment is sealed; 64 KiB or more.
    public var segmentSizeMax: Int {
        get { log.segmentSizeMax }
        set { log.segmentSizeMax = newValue }
    }
    /// Age at which a log segment is sealed by the next entry.
    public var segmentAgeMax = Duration.seconds(10)
    /// Operations in one transaction, comparisons and branches each; nested ones share it.
    public var txnOperationsMax = 128
    /// Requests that may wait for the log; more are refused with `.tooManyRequests`.
    public var queueCountMax = 16_384
    /// Bytes of requests that may wait for the log.
    public var queueBytesMax = 128 << 20
    /// Shortest lease in seconds; shorter ones are raised to it.
    public var leaseTTLMin: Int64 = 2
    /// How long the token of a login stays good without being used; a second or more.
    public var tokenTTL = Duration.seconds(300)
    /// How often an idle watch that asked for progress hears of it.
    public var watchProgressInterval = Duration.seconds(600)
    /// Watches that there may be at once; further ones are refused.
    public var watchesMax = 1_000_000
    /// How much history is kept; nil to keep all until a client asks for its compaction.
    public var retention: CompactionRetention?
    /// How often the rows of the engine are compared with their digest, the first time right after the start; where they
    /// differ, the CORRUPT alarm is raised. Nil for never.
    public var corruptCheckInterval: Duration?
    /// Bytes at which the database counts as full: what adds to it is refused, and the NOSPACE alarm raised. Nil for no
    /// limit. Compared with `Node.sizeInUse`; a write in the meantime may take it a little further.
    public var quotaBytes: Int?
    /// The object store for log and checkpoints; nil for a node that keeps everything on its own disk alone.
    public var store: NodeStore?
    /// When a write is acknowledged. `.objectStore` needs a store.
    public var durability = Durability.local
    /// The cluster that the node takes part in; nil for one that has the database for itself. Needs a store, and `log` should
    /// keep recent entries.
    package var cluster: NodeCluster?
    /// The cluster that the node follows, by etcd's number: its leases stand still, and only what `ProposalKind.mirror`
    /// brings may be written. The data directory must be a mirror of it. Nil for a node that serves.
    package var mirroredCluster: UInt64?
    /// Makes the node a read replica: it serves a copy of a database that is written elsewhere, looks so often into the store for what
    /// was written, 10 ms or more, and refuses writes. Without a store the copy stays as it is. The store is only read. Nil for a node
    /// that serves.
    public var replicaInterval: Duration?
    /// Name of the node, for people; stands in the checkpoints that it writes.
    public var name = ""
    /// Version of the program, for people; stands in the checkpoints that it writes.
    public var software = ""
    /// Sizes of the local log.
    package var log = LogConfiguration()
    /// Where the local log has its files, so that tests can lose or fail them.
    package var logFiles: any LogFileSystem = POSIXFileSystem()
    /// Room for tables that are written anew: the log can go on beside them.
    var tableSpace: TableFiles.Space {
        let (files, path) = (logFiles, dataDirectory)
        return TableFiles.Space(kept: 2 * UInt64(log.segmentSizeMax)) { try files.freeBytes(path) }
    }
    /// How much a commit thread may have under way.
    var commitLimits: CommitThread.Limits {
        var limits = CommitThread.Limits()
        limits.segmentAgeMax = segmentAgeMax
        return limits
    }

    /// What keeps the database within its quota, for one commit thread; nil without a limit.
    func makeQuota(_ engine: any LocalEngine, member: UInt64) -> SpaceQuota? {
        quotaBytes.map { limit in
            SpaceQuota(limit: limit, member: member) { () throws(EngineError) in try engine.sizeInUse() }
        }
    }

    /// Called once when the log or the engine fails; the node then refuses writes and should be restarted.
    public var onFailure: @Sendable (any Error) -> Void = { _ in }

    /// A node in `dataDirectory` with defaults for everything else.
    public init(dataDirectory: String, engine: String, engineSettings: any SettingsSource = NoSettings()) {
        self.dataDirectory = dataDirectory
        self.engine = engine
        self.engineSettings = engineSettings
    }
}

/// Settings for a backend that is to use its defaults.
public struct NoSettings: SettingsSource {
    /// No settings.
    public init() {}

    /// Decodes settings of which every field has a default or is optional.
    public func decode<Settings: Decodable & Sendable>(_ type: Settings.Type) throws -> Settings {
        try Settings(from: EmptyDecoder())
    }
}

/// A decoder of an empty table.
private struct EmptyDecoder: Decoder {
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedDecodingContainer<Key> {
        KeyedDecodingContainer(Table<Key>())
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer { throw missing("list") }

    func singleValueContainer() throws -> any SingleValueDecodingContainer { throw missing("value") }

    private func missing(_ what: String) -> DecodingError {
        .dataCorrupted(.init(codingPath: [], debugDescription: "settings are a table, not a single \(what)"))
    }

    private struct Table<Key: CodingKey>: KeyedDecodingContainerProtocol {
        var codingPath: [any CodingKey] { [] }
        var allKeys: [Key] { [] }

        func contains(_ key: Key) -> Bool { false }
        func decodeNil(forKey key: Key) throws -> Bool { throw missing(key) }
        func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T { throw missing(key) }
        func nestedContainer<Nested: CodingKey>(
            keyedBy type: Nested.Type, forKey key: Key
        ) throws -> KeyedDecodingContainer<Nested> { throw missing(key) }
        func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer { throw missing(key) }
        func superDecoder() throws -> any Decoder { EmptyDecoder() }
        func superDecoder(forKey key: Key) throws -> any Decoder { EmptyDecoder() }

        private func missing(_ key: Key) -> DecodingError {
            .keyNotFound(key, .init(codingPath: [], debugDescription: "the setting has no default"))
        }
    }
}
