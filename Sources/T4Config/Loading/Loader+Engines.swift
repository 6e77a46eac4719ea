import T4Protocols

extension Loader {
    mutating func readEngineTables() {
        var tables: [String: BackendSettings] = [:]
        if let document, case .table(let engine) = document.root["engine"] {
            for case (let name, .table(let table)) in engine {
                tables[name] = BackendSettings(path: ["engine", name], table: table, document: document)
            }
        }
        let type = configuration.engine.type
        let choice = configuration.origins["engine.type"] ?? .none
        let names = registry?.engineNames ?? [type] + tables.keys
        for (name, key, text, location) in takeOverrides(of: names) {
            tables[name, default: BackendSettings(path: ["engine", name])].set(key, text, from: location)
        }
        // A type without a table may still miss a key.
        if tables[type] == nil { tables[type] = BackendSettings(path: ["engine", type], reason: choice) }
        configuration.engine.tables = tables
        guard let registry else { return }
        if !names.contains(type) {
            let nearest = nearestName(to: type, among: names).map { "did you mean \(quoted($0))? " } ?? ""
            report(
                at: choice, "engine.type", "no engine named \(quoted(type)) in this build",
                "\(nearest)known: \(names.joined(separator: ", "))")
        }
        for (name, settings) in tables.sorted(by: { $0.key < $1.key }) {
            if names.contains(name) {
                check(settings) { try registry.checkEngineSettings(name, $0) }
            } else if let document, document.node(at: ["engine", name]) != nil {
                report(
                    at: document.location(of: ["engine", name]), "engine.\(tomlKey(name))",
                    "no engine named \(quoted(name)) in this build", "known: \(names.joined(separator: ", "))")
            }
        }
    }

    private mutating func check(_ settings: BackendSettings, _ decode: (BackendSettings) throws -> Void) {
        do {
            try decode(settings)
        } catch let error as ConfigurationError {
            problems += error.problems
        } catch {
            report(at: .none, settings.path.map(tomlKey).joined(separator: "."), "\(error)")
        }
    }

    /// Flags such as `--engine-lmdb-map-size-max` and variables such as `T4_ENGINE_LMDB_MAP_SIZE_MAX`, variables first so
    /// that flags take their place. They are of no further concern as unknown names.
    private mutating func takeOverrides(
        of engines: [String]
    ) -> [(engine: String, key: String, text: String, location: ConfigurationError.Location)] {
        // Of two engines whose names begin alike, the longer name is meant.
        let prefixes = engines.map { ($0, BackendSettings.flag(engine: $0)) }
            .sorted { $0.1.count > $1.1.count }
        func split(_ flag: String) -> (engine: String, key: String)? {
            for (engine, prefix) in prefixes where flag.hasPrefix(prefix) && flag.count > prefix.count {
                return (engine, String(flag.dropFirst(prefix.count)).replacing("-", with: "_"))
            }
            return nil
        }
        var found: [(engine: String, key: String, text: String, location: ConfigurationError.Location)] = []
        for (name, text) in environment.sorted(by: { $0.key < $1.key }) {
            guard let (engine, key) = split(SettingDefinition.flag(ofVariable: name)) else { continue }
            found.append((engine, key, text, .environment(name)))
            environment[name] = nil
        }
        for (flag, text) in flags.sorted(by: { $0.key < $1.key }) {
            guard let (engine, key) = split(flag) else { continue }
            found.append((engine, key, text, .flag(flag)))
            flags[flag] = nil
        }
        return found
    }
}
