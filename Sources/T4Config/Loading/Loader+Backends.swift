import T4Core
import T4Protocols

extension Loader {
    /// A setting of a backend that a flag or a variable gives.
    private struct Override {
        var name: String
        var key: String
        var text: String
        var location: ConfigurationError.Location
    }

    mutating func readBackends() {
        readBackends(.engine)
        readBackends(.store)
        readBackends(.election)
        guard configuration.origins["wal.durability"] == nil else { return }
        if configuration.peer.address != nil {
            configuration.wal.durability = .replicated
        } else if configuration.storePlace == .outside {
            configuration.wal.durability = .objectStore
        }
    }

    private mutating func readBackends(_ kind: BackendKind) {
        var tables: [String: BackendSettings] = [:]
        if let document, case .table(let named) = document.root[kind.rawValue] {
            for case (let name, .table(let table)) in named {
                tables[name] = BackendSettings(path: [kind.rawValue, name], table: table, document: document)
            }
        }
        let known = registry.map(kind.names)
        let overrides = takeOverrides(of: kind, known ?? [kind.type(in: configuration)] + tables.keys)
        for override in overrides {
            let empty = BackendSettings(path: [kind.rawValue, override.name], reason: override.location)
            tables[override.name, default: empty].set(override.key, override.text, from: override.location)
        }
        if kind == .store, configuration.origins["store.type"] == nil, known?.contains("filesystem") == false {
            configuration.store.type = Configuration.Store.none
        }
        if kind == .store { chooseS3(overrides.last { $0.name == "s3" && $0.key == "bucket" }?.location) }
        let type = kind.type(in: configuration)
        let choice = configuration.origins["\(kind.rawValue).type"] ?? .none
        // A type without a table may still miss a key.
        if tables[type] == nil { tables[type] = BackendSettings(path: [kind.rawValue, type], reason: choice) }
        switch kind {
        case .engine: configuration.engine.tables = tables
        case .store: configuration.store.tables = tables
        case .election: configuration.election.tables = tables
        }
        if kind == .store { refuseUnusedStores() }
        if let registry, let known { check(kind, tables, known, registry) }
    }

    private mutating func check(
        _ kind: BackendKind, _ tables: [String: BackendSettings], _ known: [String], _ registry: BackendRegistry
    ) {
        let type = kind.type(in: configuration)
        let choices = kind.choices(in: registry)
        // Nobody asks who leads a node that is alone.
        let isUsed = kind != .election || configuration.peer.address != nil
        if isUsed, !choices.contains(type) {
            let nearest = nearestName(to: type, among: choices).map { "did you mean \(quoted($0))? " } ?? ""
            report(
                at: configuration.origins["\(kind.rawValue).type"] ?? .none, "\(kind.rawValue).type",
                "no \(kind.rawValue) named \(quoted(type)) in this build",
                "\(nearest)known: \(choices.joined(separator: ", "))")
        }
        for (name, settings) in tables.sorted(by: { $0.key < $1.key }) {
            if known.contains(name) {
                // An empty table of one that is not chosen sets up nothing.
                if name == type || !settings.table.isEmpty {
                    check(settings) { try kind.check(name, $0, in: registry) }
                }
            } else if let document, document.node(at: [kind.rawValue, name]) != nil {
                report(
                    at: document.location(of: [kind.rawValue, name]), "\(kind.rawValue).\(tomlKey(name))",
                    "no \(kind.rawValue) named \(quoted(name)) in this build",
                    "known: \(known.joined(separator: ", "))")
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

    /// A flag or a variable with a bucket is enough to choose S3, as it was for T4.
    private mutating func chooseS3(_ bucket: ConfigurationError.Location?) {
        guard let bucket else { return }
        if let choice = configuration.origins["store.type"] {
            guard configuration.store.type != "s3" else { return }
            report(
                at: bucket, "store.s3.bucket",
                "a bucket is for a store of type \"s3\", but store.type is "
                    + "\(quoted(configuration.store.type)) (\(choice))", "leave out one of the two")
        } else {
            configuration.store.type = "s3"
            configuration.origins["store.type"] = bucket
        }
    }

    /// Whoever sets up a store counts on copies of the data in it: a type that was forgotten is an error.
    private mutating func refuseUnusedStores() {
        guard configuration.origins["store.type"] == nil else { return }
        for (name, settings) in configuration.store.tables.sorted(by: { $0.key < $1.key })
        where name != configuration.store.type && !settings.table.isEmpty {
            report(
                at: settings.place, "store.\(tomlKey(name))", "it is set up, but store.type is not set",
                "write type = \(quoted(name)) below [store]"
                    + (name == "s3" ? ", or name the bucket with --s3-bucket" : ""))
        }
    }

    /// Flags such as `--engine-lmdb-map-size-max` and variables such as `T4_ENGINE_LMDB_MAP_SIZE_MAX`, variables first so
    /// that flags take their place. They are of no further concern as unknown names.
    private mutating func takeOverrides(of kind: BackendKind, _ known: [String]) -> [Override] {
        // A build without S3 must say so, not call the flag unknown. Of two names that begin alike, the longer is meant.
        let names = kind == .store ? Set(known).union(["s3"]).sorted() : known
        let prefixes = names.map { ($0, kind.flag($0)) }.sorted { $0.1.count > $1.1.count }
        let settings = Set(SettingDefinition.all.flatMap { $0.names.map(\.flag) })
        func split(_ flag: String) -> (name: String, key: String)? {
            if settings.contains(flag) { return nil }
            for (name, prefix) in prefixes where flag.hasPrefix(prefix) && flag.count > prefix.count {
                return (name, String(flag.dropFirst(prefix.count)).replacing("-", with: "_"))
            }
            return nil
        }
        var found: [Override] = []
        for (variable, text) in environment.sorted(by: { $0.key < $1.key }) {
            guard let (name, key) = split(SettingDefinition.flag(ofVariable: variable)) else { continue }
            found.append(Override(name: name, key: key, text: text, location: .environment(variable)))
            environment[variable] = nil
        }
        for (flag, text) in flags.sorted(by: { $0.key < $1.key }) {
            guard let (name, key) = split(flag) else { continue }
            found.append(Override(name: name, key: key, text: text, location: .flag(flag)))
            flags[flag] = nil
        }
        return found
    }
}
