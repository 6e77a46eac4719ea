import FilesystemStore
import MemoryEngine
import MemoryStore
public import T4Protocols

#if LMDB
    import LMDBEngine
#endif
#if RocksDB
    import RocksDBEngine
#endif
#if LevelDB
    import LevelDBEngine
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
                try LMDBEngine(settings, context: context)
            }
        #endif
        #if RocksDB
            register(engine: "rocksdb", settings: RocksDBSettings.self) { settings, context in
                try RocksDBEngine(settings, context: context)
            }
        #endif
        #if LevelDB
            register(engine: "leveldb", settings: LevelDBSettings.self) { settings, context in
                try LevelDBEngine(settings, context: context)
            }
        #endif
    }

    private mutating func registerStores() {
        // The stores that one registry makes are clients of one storage: a node that is started again finds its objects.
        let storage = MemoryStorage()
        register(store: "memory", settings: MemoryStoreSettings.self) { _, _ in MemoryStore(storage) }
        register(store: "filesystem", settings: FilesystemStoreSettings.self) { settings, context in
            try await FilesystemStore(settings, context: context)
        }
    }
}
