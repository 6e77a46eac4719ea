import Foundation

extension Configuration {
    /// Reads a configuration: flag before environment before file before default, for every setting.
    ///
    /// - Parameters:
    ///   - file: The TOML file; nil for none.
    ///   - environment: Environment variables; those that do not start with `T4_` and empty ones are ignored.
    ///   - flags: Values by flag name without dashes, as `parseFlags` gives them.
    ///   - engineNames: Engines that can be chosen, the registry's `engineNames`; nil leaves the check to whoever
    ///     opens the engine.
    ///   - hostName: Gives the name for the node when none is set; nil asks the machine.
    /// - Throws: Everything that is wrong: the file cannot be read, syntax, unknown keys and flags, wrong types, values
    ///   out of range, values that do not go together.
    public static func load(
        file: String?, environment: [String: String], flags: [String: String] = [:], engineNames: [String]? = nil,
        hostName: (() -> String)? = nil
    ) throws(ConfigurationError) -> Configuration {
        var loader = Loader(environment: environment, flags: flags, engineNames: engineNames)
        if let file { loader.document = try TOMLDocument(file: file, text: contents(of: file)) }
        return try loader.load(hostName: hostName ?? { ProcessInfo.processInfo.hostName })
    }

    private static func contents(of file: String) throws(ConfigurationError) -> String {
        func failure(_ reason: String) -> ConfigurationError {
            ConfigurationError(.init(at: .file(file, line: nil, column: nil), reason: reason))
        }
        let data: Data
        do {
            data = try Data(contentsOf: URL(filePath: file))
        } catch let error as CocoaError where error.code == .fileReadNoSuchFile {
            throw failure("there is no such file")
        } catch let error as CocoaError where error.code == .fileReadNoPermission {
            throw failure("no permission to read the file")
        } catch {
            throw failure("the file cannot be read: \(error.localizedDescription)")
        }
        guard let text = String(bytes: data, encoding: .utf8) else { throw failure("the file is not UTF-8 text") }
        return text
    }
}

/// Gathers values and problems while a configuration is made.
private struct Loader {
    var environment: [String: String]
    var flags: [String: String]
    var engineNames: [String]?
    var document: TOMLDocument?

    private var configuration = Configuration()
    private var problems: [ConfigurationError.Problem] = []

    init(environment: [String: String], flags: [String: String], engineNames: [String]?) {
        self.environment = environment.filter { $0.key.hasPrefix("T4_") && !$0.value.isEmpty }
        self.flags = flags
        self.engineNames = engineNames
    }

    mutating func load(hostName: () -> String) throws(ConfigurationError) -> Configuration {
        refuseUnknownKeys()
        refuseUnknownFlags()
        refuseUnknownVariables()
        for setting in SettingDefinition.all { read(setting) }
        readEngineSettings()
        if configuration.node.id.isEmpty {
            let name = hostName().filter { !$0.isWhitespace }
            configuration.node.id = name.isEmpty ? "node-0" : String(name.prefix(128))
        }
        if problems.isEmpty { checkCombinations() }
        guard problems.isEmpty else { throw ConfigurationError(problems) }
        return configuration
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

    private mutating func readEngineSettings() {
        let type = configuration.engine.type
        let path = ["engine", type]
        if let engineNames, !engineNames.contains(type) {
            let nearest = nearestName(to: type, among: engineNames)
            report(
                at: configuration.origins["engine.type"] ?? .none, "engine.type",
                "no engine named \(quoted(type)) in this build",
                nearest.map { "did you mean \(quoted($0))?" } ?? "known: \(engineNames.joined(separator: ", "))")
        }
        guard let document, case .table(let engine) = document.root["engine"] else { return }
        for (name, node) in engine.sorted(by: { $0.key < $1.key }) {
            if case .table(let table) = node {
                configuration.engine.tables[name] = table
                if let engineNames, !engineNames.contains(name) {
                    report(
                        at: document.location(of: ["engine", name]), "engine.\(name)",
                        "no engine named \(quoted(name)) in this build",
                        "known: \(engineNames.joined(separator: ", "))")
                }
            }
        }
        configuration.engine.settings = EngineSettings(
            path: path, table: configuration.engine.tables[type] ?? [:], document: document)
    }

    // MARK: - Names that are unknown

    private mutating func refuseUnknownKeys() {
        guard let document else { return }
        let settings = Dictionary(grouping: SettingDefinition.all, by: { $0.path[0] })
        for (table, node) in document.root.sorted(by: { $0.key < $1.key }) {
            let location = document.location(of: [table])
            guard let known = settings[table] else {
                refuseUnknown(topLevel: table, node, at: location, tables: settings.keys.sorted())
                continue
            }
            guard case .table(let values) = node else {
                report(at: location, table, "expected a table, found \(node.summary)", "write [\(table)]")
                continue
            }
            for (name, value) in values.sorted(by: { $0.key < $1.key }) {
                if known.contains(where: { $0.path[1] == name }) { continue }
                if table == "engine", case .table = value { continue }
                refuseUnknown(name, in: table, known: known.map { $0.path[1] })
            }
        }
    }

    private mutating func refuseUnknown(
        topLevel name: String, _ node: TOMLNode, at location: ConfigurationError.Location, tables: [String]
    ) {
        if let reason = Unavailable.reason(table: name) {
            report(at: location, name, reason)
        } else if case .table = node {
            let nearest = nearestName(to: name, among: tables)
            report(
                at: location, name, "unknown table",
                nearest.map { "did you mean [\($0)]?" } ?? "known: \(tables.joined(separator: ", "))")
        } else {
            // A key in front of the first table header: say where one of that name belongs.
            let homes = SettingDefinition.all.filter { $0.path[1] == name }.map { "[\($0.path[0])]" }
            report(
                at: location, name, "unknown key outside of any table",
                homes.isEmpty ? nil : "it belongs below \(homes.joined(separator: " or "))")
        }
    }

    private mutating func refuseUnknown(_ name: String, in table: String, known: [String]) {
        guard let document else { return }
        let elsewhere = SettingDefinition.all.first { $0.path[1] == name }
        let hint =
            elsewhere.map { "it belongs below [\($0.path[0])]" }
            ?? nearestName(to: name, among: known).map { "did you mean \(quoted($0))?" }
            ?? "known in [\(table)]: \(known.joined(separator: ", "))"
        report(at: document.location(of: [table, name]), "\(table).\(tomlKey(name))", "unknown key", hint)
    }

    private mutating func refuseUnknownFlags() {
        let known = SettingDefinition.all.map(\.flag)
        for flag in flags.keys.sorted() where !known.contains(flag) {
            if let reason = Unavailable.reason(flag: flag) {
                report(at: .flag(flag), nil, reason)
            } else {
                let nearest = nearestName(to: flag, among: known)
                report(at: .flag(flag), nil, "unknown flag", nearest.map { "did you mean --\($0)?" })
            }
        }
    }

    /// Variables of features that are not there are refused; others are named in a warning, since `T4_` may be used by
    /// whatever starts the node.
    private mutating func refuseUnknownVariables() {
        let known = SettingDefinition.all.map(\.environment)
        for name in environment.keys.sorted() where !known.contains(name) && name != "T4_CONFIG" {
            let flag = name.dropFirst(3).lowercased().replacing("_", with: "-")
            if let reason = Unavailable.reason(flag: flag) {
                report(at: .environment(name), nil, reason)
            } else if let nearest = nearestName(to: name, among: known) {
                configuration.warnings.append("\(name) is no setting; did you mean \(nearest)?")
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
    }

    private mutating func conflict(_ key: String, with other: String, wanted: String) {
        func value(_ key: String) -> String {
            SettingDefinition.all.first { $0.key == key }?.writeTOML(configuration) ?? ""
        }
        // The blame lies with what was set, not with a default.
        let location = configuration.origins[key] ?? configuration.origins[other] ?? .none
        report(at: location, key, "\(value(key)) \(wanted) \(other), \(value(other))")
    }

    private mutating func report(
        at location: ConfigurationError.Location, _ key: String?, _ reason: String, _ hint: String? = nil
    ) {
        problems.append(.init(at: location, key: key, reason: reason, hint: hint))
    }
}

extension TOMLDocument {
    /// The value of a key; nil when it, or a table above it, is missing.
    func node(at path: [String]) -> TOMLNode? {
        var node = TOMLNode.table(root)
        for part in path {
            guard case .table(let table) = node, let next = table[part] else { return nil }
            node = next
        }
        return node
    }
}
