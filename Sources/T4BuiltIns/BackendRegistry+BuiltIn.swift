import FilesystemStore
import MemoryEngine
import MemoryStore
import T4Core
public import T4Protocols

#if LMDB
    import LMDBEngine
    import WriteBehindEngine
#endif
#if RocksDB
    import RocksDBEngine
#endif
#if LevelDB
    import LevelDBEngine
#endif
#if S3
    import S3Store
#endif

extension BackendRegistry {
    /// The backends of this build: those whose package traits are on.
    public static var builtIn: BackendRegistry {
        var registry = BackendRegistry()
        registry.registerEngines()
        registry.registerStores()
        registry.registerElections()
        return registry
    }

    private mutating func registerEngines() {
        register(engine: "memory", settings: MemorySettings.self) { settings, context in
            try MemoryEngine(settings, context: context)
        }
        #if LMDB
            register(engine: "lmdb", settings: LMDBSettings.self, describedBy: LMDBSettings.descriptions) {
                settings, context in
                let engine = try LMDBEngine(settings, context: context)
                guard !context.isReadOnly, settings.writeBufferBytes > 0 else { return engine }
                return try WriteBehindEngine(engine, bufferBytes: settings.writeBufferBytes)
            }
        #endif
        #if RocksDB
            register(engine: "rocksdb", settings: RocksDBSettings.self, describedBy: RocksDBSettings.descriptions) {
                settings, context in
                try RocksDBEngine(settings, context: context)
            }
        #endif
        #if LevelDB
            register(engine: "leveldb", settings: LevelDBSettings.self, describedBy: LevelDBSettings.descriptions) {
                settings, context in
                try LevelDBEngine(settings, context: context)
            }
        #endif
    }

    private mutating func registerStores() {
        // The stores that one registry makes are clients of one storage: a node that is started again finds its objects.
        let storage = MemoryStorage()
        register(store: "memory", settings: MemoryStoreSettings.self) { _, _ in MemoryStore(storage) }
        register(
            store: "filesystem", settings: FilesystemStoreSettings.self,
            describedBy: FilesystemStoreSettings.descriptions
        ) { settings, context in
            try await FilesystemStore(settings, context: context)
        }
        #if S3
            register(store: "s3", settings: S3Settings.self, describedBy: S3Settings.descriptions) {
                settings, context in
                if settings.asOf != nil { return try S3PastStore(settings, context: context) }
                return try S3Store(settings, context: context)
            }
        #endif
    }

    /// All hold their record in an object; what differs is the store.
    private mutating func registerElections() {
        // The elections that one registry makes are of one process: one record for all of them.
        let storage = MemoryStorage()
        register(election: "memory", settings: NoElectionSettings.self) { _, _ in
            try await StoreElection.open(MemoryStore(storage))
        }
        // A node that is alone: nobody else knows of its record.
        register(election: "standalone", settings: NoElectionSettings.self) { _, _ in
            try await StoreElection.open(MemoryStore(MemoryStorage()))
        }
        register(election: "object-store", settings: NoElectionSettings.self) { _, context in
            guard let store = context.store else {
                throw ElectionError(
                    .invalidArgument,
                    "an election in the object store needs one: set [store], or choose another election")
            }
            return try await StoreElection.open(store)
        }
        register(
            election: "file-lock", settings: FileLockSettings.self, describedBy: FileLockSettings.descriptions
        ) { settings, context in
            let store = try await FilesystemStore(
                settings.store, context: StoreContext(dataDirectory: context.dataDirectory, logger: context.logger))
            do {
                return try await StoreElection.open(store)
            } catch {
                await store.close()
                throw error
            }
        }
    }
}

/// Settings of an election that has none.
private struct NoElectionSettings: Decodable, Sendable {}

/// Settings of the election `file-lock`, `[election.file-lock]`.
private struct FileLockSettings: Decodable, Sendable {
    /// As of a store in the same folder.
    var store = FilesystemStoreSettings()

    static let descriptions = [
        SettingDescription(
            "path", value: "DIRECTORY", defaultText: "required",
            "A folder that all nodes share, on one machine or on a file system whose locks and names are the same for all; "
                + "created when it is missing.")
    ]

    private enum CodingKeys: CodingKey {
        case path
    }

    init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let path = try values.decode(String.self, forKey: .path)
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw DecodingError.dataCorruptedError(
                forKey: .path, in: values, debugDescription: "\(path.debugDescription) is no path of a folder")
        }
        store.path = path
        // Who names a folder for this has one whose locks reach all nodes.
        store.conditionalPuts = .on
    }
}
