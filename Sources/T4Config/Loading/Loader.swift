import T4Core
import T4Protocols

/// Gathers values and problems while a configuration is made.
struct Loader {
    var environment: [String: String]
    var flags: [String: String]
    var registry: BackendRegistry?
    var document: TOMLDocument?

    var configuration = Configuration()
    var problems: [ConfigurationError.Problem] = []

    init(environment: [String: String], flags: [String: String], registry: BackendRegistry?) {
        let neverEmpty = Loader.variablesThatAreNeverEmpty(registry)
        self.environment = environment.filter { name, value in
            name.hasPrefix("T4_") && (!value.isEmpty || neverEmpty.contains(name))
        }
        self.flags = flags
        self.registry = registry
    }

    /// An empty variable counts as not set, except where the value names what is to be done.
    private static func variablesThatAreNeverEmpty(_ registry: BackendRegistry?) -> Set<String> {
        var flags = SettingDefinition.all.filter(\.isNeverEmpty).flatMap { $0.names.map(\.flag) }
        for kind in BackendKind.allCases {
            for name in registry.map(kind.names) ?? [] {
                let settings = registry.map { kind.descriptions(of: name, in: $0) } ?? []
                flags += settings.filter(\.isNeverEmpty).map { kind.flag(of: $0.key, name) }
            }
        }
        return Set(flags.map(SettingDefinition.variable(ofFlag:)))
    }

    mutating func load(hostName: () -> String) throws(ConfigurationError) -> Configuration {
        refuseUnknownKeys()
        for setting in SettingDefinition.all { read(setting) }
        readBackends()
        refuseUnknownFlags()
        refuseUnknownVariables()
        if configuration.node.id.isEmpty {
            let name = hostName().filter { !$0.isWhitespace }
            configuration.node.id = name.isEmpty ? "node-0" : String(name.prefix(128))
        }
        if problems.isEmpty { checkCombinations() }
        guard problems.isEmpty else { throw ConfigurationError(inOrderOfTheFile(problems)) }
        return configuration
    }

    /// Those of the file from top to bottom, then all others as they were found.
    private func inOrderOfTheFile(_ problems: [ConfigurationError.Problem]) -> [ConfigurationError.Problem] {
        func place(_ problem: ConfigurationError.Problem) -> (line: Int, column: Int) {
            guard case .file(_, let line, let column) = problem.location else { return (.max, .max) }
            return (line ?? 0, column ?? 0)
        }
        return problems.enumerated().sorted { left, right in
            let (first, second) = (place(left.element), place(right.element))
            return (first.line, first.column, left.offset) < (second.line, second.column, right.offset)
        }.map(\.element)
    }

    // MARK: - Values

    private mutating func read(_ setting: SettingDefinition) {
        if let first = given(setting).first {
            let isValue = read(setting, at: first.location) { configuration throws(Refusal) in
                try setting.readText(first.name.translate(first.text), &configuration)
            }
            if isValue { refuseContradictions(of: setting) }
        } else if let document, let node = document.node(at: setting.path) {
            _ = read(setting, at: document.location(of: setting.path)) { configuration throws(Refusal) in
                try setting.readTOML(node, &configuration)
            }
        }
    }

    /// - Returns: False when it is no value of the setting, which has been reported.
    private mutating func read(
        _ setting: SettingDefinition, at location: ConfigurationError.Location,
        _ body: (inout Configuration) throws(Refusal) -> Void
    ) -> Bool {
        configuration.origins[setting.key] = location
        do throws(Refusal) {
            try body(&configuration)
            return true
        } catch {
            report(at: location, setting.key, error.reason, error.hint)
            return false
        }
    }

    private typealias Given = (name: SettingDefinition.Alias, text: String, location: ConfigurationError.Location)

    /// The texts that the flags of a setting have, or without any of these its variables.
    private func given(_ setting: SettingDefinition) -> [Given] {
        let names = setting.names
        let byFlag = names.compactMap { name in flags[name.flag].map { (name, $0, .flag(name.flag)) as Given } }
        return byFlag.isEmpty
            ? names.compactMap { name in
                let variable = SettingDefinition.variable(ofFlag: name.flag)
                return environment[variable].map { (name, $0, .environment(variable)) as Given }
            } : byFlag
    }

    /// Two flags for one setting have to say the same, and so do two variables.
    private mutating func refuseContradictions(of setting: SettingDefinition) {
        let given = given(setting)
        for other in given.dropFirst() {
            var changed = configuration
            do throws(Refusal) {
                try setting.readText(other.name.translate(other.text), &changed)
            } catch {
                report(at: other.location, setting.key, error.reason, error.hint)
                continue
            }
            let (before, after) = (setting.writeTOML(configuration), setting.writeTOML(changed))
            if before != after {
                report(at: other.location, setting.key, "\(after) contradicts \(given[0].location), \(before)")
            }
        }
    }

    // MARK: - Values together

    private mutating func checkCombinations() {
        let server = configuration.server
        if server.keepaliveTimeout >= server.keepaliveInterval {
            conflict(
                "server.keepalive_timeout", with: "server.keepalive_interval", wanted: "must be shorter than")
        }
        if configuration.commit.queueBytesMax < server.requestSizeMax {
            conflict(
                "commit.queue_max_bytes", with: "server.max_request_bytes", wanted: "must not be smaller than")
        }
        if configuration.wal.segmentSizeMax < server.requestSizeMax {
            conflict("wal.segment_max_size", with: "server.max_request_bytes", wanted: "must not be smaller than")
        }
        checkClientTLS()
        checkCompaction()
        checkStore()
        checkCluster()
        checkReplica()
    }

    private mutating func checkClientTLS() {
        let tls = configuration.clientTLS
        func need(_ key: String, for other: String, _ what: String) {
            report(
                at: configuration.origins[other] ?? .none, other, "is of no use without \(key)",
                "name the file of \(what)")
        }
        if tls.isOn, tls.key.isEmpty { need("client_tls.key", for: "client_tls.cert", "its private key") }
        guard !tls.isOn else { return }
        if !tls.key.isEmpty { need("client_tls.cert", for: "client_tls.key", "its certificate") }
        if !tls.clientAuthority.isEmpty { need("client_tls.cert", for: "client_tls.ca", "the node's certificate") }
    }

    private mutating func checkCompaction() {
        switch (configuration.compaction.mode, configuration.compaction.retention) {
        case (.revision, .time):
            conflict("compaction.retention", with: "compaction.mode", wanted: "is a time, which does not go with")
        case (.periodic, .number(let hours)) where hours > RetentionSetting.hoursMax:
            conflict(
                "compaction.retention", with: "compaction.mode",
                wanted: "is more than \(RetentionSetting.hoursMax) hours, the most that go with")
        default: break
        }
    }

    private mutating func checkStore() {
        let type = configuration.store.type
        if let origin = configuration.origins["store.prefix"], type != "s3",
            [.flag("s3-prefix"), .environment("T4_S3_PREFIX")].contains(origin)
        {
            report(
                at: origin, "store.prefix", "a prefix in a bucket, but store.type is \(quoted(type))",
                "name the bucket with --s3-bucket, or write --store-prefix for any store")
        }
        let branch = configuration.branch
        let hasBranch = !branch.checkpoint.isEmpty
        if hasBranch, configuration.origins["branch.prefix"] == nil {
            conflict("branch.checkpoint", with: "branch.prefix", wanted: "is of no use without")
        } else if !hasBranch, !branch.prefix.isEmpty {
            conflict("branch.prefix", with: "branch.checkpoint", wanted: "is of no use without")
        } else if hasBranch, branch.prefix == configuration.store.prefix {
            conflict("branch.prefix", with: "store.prefix", wanted: "must not be the same as")
        }
        let hasPointTime = configuration.restore.pointTime != nil
        if hasBranch, hasPointTime {
            conflict("restore.point_time", with: "branch.checkpoint", wanted: "cannot be had with")
        }
        guard configuration.storePlace == .none else { return }
        if configuration.wal.durability == .objectStore {
            conflict("wal.durability", with: "store.type", wanted: "cannot be had with")
        }
        if hasBranch { conflict("branch.checkpoint", with: "store.type", wanted: "cannot be had with") }
        if hasPointTime {
            conflict("restore.point_time", with: "store.type", wanted: "cannot be had with")
        }
    }

    mutating func conflict(_ key: String, with other: String, wanted: String) {
        func value(_ key: String) -> String {
            SettingDefinition.all.first { $0.key == key }?.writeTOML(configuration) ?? ""
        }
        // The blame lies with what was set, not with a default.
        let location = configuration.origins[key] ?? configuration.origins[other] ?? .none
        report(at: location, key, "\(value(key)) \(wanted) \(other), \(value(other))")
    }

    mutating func report(
        at location: ConfigurationError.Location, _ key: String?, _ reason: String, _ hint: String? = nil
    ) {
        problems.append(.init(at: location, key: key, reason: reason, hint: hint))
    }
}
