import FilesystemStore
import MemoryEngine
import MemoryStore
public import T4Protocols

#if LMDB
    import LMDBEngine
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
            register(engine: "lmdb", settings: LMDBSettings.self) { settings, context in
                try LMDBEngine(settings, context: context)
            }
        #endif
    }

    private mutating func registerStores() {
        register(store: "memory", settings: MemoryStoreSettings.self) { _, _ in MemoryStore() }
        register(store: "filesystem", settings: FilesystemStoreSettings.self) { settings, context in
            try await FilesystemStore(settings, context: context)
        }
    }
}
