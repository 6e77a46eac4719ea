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
        self.environment = environment.filter { $0.key.hasPrefix("T4_") && !$0.value.isEmpty }
        self.flags = flags
        self.registry = registry
    }

    mutating func load(hostName: () -> String) throws(ConfigurationError) -> Configuration {
        refuseUnknownKeys()
        for setting in SettingDefinition.all { read(setting) }
        readEngineTables()
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
        let location: ConfigurationError.Location
        do throws(Refusal) {
            if let text = flags[setting.flag] {
                location = .flag(setting.flag)
                configuration.origins[setting.key] = location
                try setting.readText(text, &configuration)
            } else if let text = environment[setting.environment] {
                location = .environment(setting.environment)
                configuration.origins[setting.key] = location
                try setting.readText(text, &configuration)
            } else if let document, let node = document.node(at: setting.path) {
                location = document.location(of: setting.path)
                configuration.origins[setting.key] = location
                try setting.readTOML(node, &configuration)
            }
        } catch {
            report(at: configuration.origins[setting.key] ?? .none, setting.key, error.reason, error.hint)
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
    }

    private mutating func conflict(_ key: String, with other: String, wanted: String) {
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
