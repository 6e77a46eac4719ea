import MemoryEngine
public import T4Protocols

extension BackendRegistry {
    /// The backends of this build.
    public static var builtIn: BackendRegistry {
        var registry = BackendRegistry()
        registry.register(engine: "memory", settings: MemorySettings.self) { settings, context in
            try MemoryEngine(settings, context: context)
        }
        return registry
    }
}
