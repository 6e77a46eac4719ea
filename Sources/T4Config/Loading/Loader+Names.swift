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
                if table == "engine" {
                    if case .table = value { continue }
                    if registry?.engineNames.contains(name) == true {
                        report(
                            at: document.location(of: [table, name]), "engine.\(tomlKey(name))",
                            "expected a table, found \(value.summary)", "write [engine.\(tomlKey(name))]")
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
        let elsewhere = SettingDefinition.all.first { $0.path[1] == name }
        let hint =
            elsewhere.map { "it belongs below [\($0.path[0])]" }
            ?? nearestName(to: name, among: known).map { "did you mean \(quoted($0))?" }
            ?? "known in [\(table)]: \(known.joined(separator: ", "))"
        report(at: document.location(of: [table, name]), "\(table).\(tomlKey(name))", "unknown key", hint)
    }

    mutating func refuseUnknownFlags() {
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
    mutating func refuseUnknownVariables() {
        let known = SettingDefinition.all.map(\.environment)
        for name in environment.keys.sorted() where !known.contains(name) && name != "T4_CONFIG" {
            if let reason = Unavailable.reason(flag: SettingDefinition.flag(ofVariable: name)) {
                report(at: .environment(name), nil, reason)
            } else if let nearest = nearestName(to: name, among: known) {
                configuration.warnings.append("\(name) is no setting; did you mean \(nearest)?")
            }
        }
    }
}
