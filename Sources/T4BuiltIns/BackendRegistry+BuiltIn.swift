import MemoryEngine
public import T4Protocols

#if LMDB
    import LMDBEngine
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
            register(engine: "lmdb", settings: LMDBSettings.self) { settings, context in
                try LMDBEngine(settings, context: context)
            }
        #endif
    }

    private mutating func registerStores() {
        #if S3
            register(store: "s3", settings: S3Settings.self) { settings, context in
                try S3Store(settings, context: context)
            }
        #endif
    }
}
