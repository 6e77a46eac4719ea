import FilesystemStore
import MemoryEngine
import MemoryStore
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
}
