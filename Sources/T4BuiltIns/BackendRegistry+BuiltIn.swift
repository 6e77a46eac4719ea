import MemoryEngine
public import T4Protocols

#if LMDB
    import LMDBEngine
#endif
#if LevelDB
    import LevelDBEngine
#endif

extension BackendRegistry {
    /// The backends of this build: those whose package traits are on.
    public static var builtIn: BackendRegistry {
        var registry = BackendRegistry()
        registry.registerEngines()
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
        #if LevelDB
            register(engine: "leveldb", settings: LevelDBSettings.self) { settings, context in
                try LevelDBEngine(settings, context: context)
            }
        #endif
    }
}
