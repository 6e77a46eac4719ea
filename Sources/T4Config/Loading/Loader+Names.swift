import T4Protocols

extension Loader {
    mutating func refuseUnknownKeys() {
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
                if let kind = BackendKind(rawValue: table) {
                    if case .table = value { continue }
                    if let registry, kind.names(in: registry).contains(name) {
                        report(
                            at: document.location(of: [table, name]), "\(table).\(tomlKey(name))",
                            "expected a table, found \(value.summary)", "write [\(table).\(tomlKey(name))]")
                        continue
                    }
                }
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
        let hint: String
        if let home = SettingDefinition.all.first(where: { $0.path[1] == name }) {
            hint = "it belongs below [\(home.path[0])]"
        } else if let backend = backend(withKey: name, in: table) {
            hint = "it belongs below [\(table).\(tomlKey(backend))]"
        } else if let nearest = nearestName(to: name, among: known) {
            hint = "did you mean \(quoted(nearest))?"
        } else {
            hint = "known in [\(table)]: \(known.joined(separator: ", "))"
        }
        report(at: document.location(of: [table, name]), "\(table).\(tomlKey(name))", "unknown key", hint)
    }

    /// The first backend of a table whose settings have that key.
    private func backend(withKey key: String, in table: String) -> String? {
        guard let registry, let kind = BackendKind(rawValue: table) else { return nil }
        return kind.names(in: registry).first { name in
            kind.descriptions(of: name, in: registry).contains { $0.key == key }
        }
    }

    mutating func refuseUnknownFlags() {
        let known = SettingDefinition.all.flatMap { $0.names.map(\.flag) }
        for (flag, text) in flags.sorted(by: { $0.key < $1.key }) where !known.contains(flag) {
            if refuseUnavailable(flag, text, at: .flag(flag)) { continue }
            let nearest = flagOfS3(flag) ?? nearestName(to: flag, among: known)
            report(at: .flag(flag), nil, "unknown flag", nearest.map { "did you mean --\($0)?" })
        }
    }

    /// Variables of features that are not there are refused; others are named in a warning, since `T4_` may be used by
    /// whatever starts the node.
    mutating func refuseUnknownVariables() {
        let known = SettingDefinition.all.flatMap { $0.names.map { SettingDefinition.variable(ofFlag: $0.flag) } }
        for (name, text) in environment.sorted(by: { $0.key < $1.key })
        where !known.contains(name) && name != "T4_CONFIG" {
            let flag = SettingDefinition.flag(ofVariable: name)
            if refuseUnavailable(flag, text, at: .environment(name)) { continue }
            if let meant = flagOfS3(flag) {
                report(
                    at: .environment(name), nil, "unknown variable",
                    "did you mean \(SettingDefinition.variable(ofFlag: meant))?")
            } else if let nearest = nearestName(to: name, among: known) {
                configuration.warnings.append("\(name) is no setting; did you mean \(nearest)?")
            }
        }
    }

    /// Refuses what this version does not have, unless it is set to what this version does anyhow.
    /// - Returns: False for a name that means nothing to us.
    private mutating func refuseUnavailable(
        _ flag: String, _ text: String, at location: ConfigurationError.Location
    ) -> Bool {
        guard let reason = Unavailable.reason(flag: flag) else { return false }
        switch Unavailable.effect(flag: flag, text) {
        case .same: break
        case .better(let what): configuration.warnings.append("\(location) \(text): \(what)")
        case nil: report(at: location, nil, reason)
        }
        return true
    }

    /// The right flag for one that follows the rule of all other backends; nil for any other flag.
    private func flagOfS3(_ flag: String) -> String? {
        flag.hasPrefix("store-s3-") ? String(flag.dropFirst("store-".count)) : nil
    }
}
