extension Configuration {
    /// The whole configuration as TOML, each value with its origin behind it. Reading it gives the same values again.
    ///
    /// Values whose keys look like secrets are replaced by `<redacted>`.
    public func describe() -> String {
        var text = ""
        var table = ""
        for setting in SettingDefinition.all {
            if setting.path[0] != table {
                if table == "engine" { text += describeEngineTables() }
                table = setting.path[0]
                text += "\(text.isEmpty ? "" : "\n")[\(table)]\n"
            }
            let origin = origins[setting.key].map(name) ?? "default"
            text += "\(setting.path[1]) = \(setting.writeTOML(self))  # \(origin)\n"
        }
        return text
    }

    private func describeEngineTables() -> String {
        engine.tables.sorted { $0.key < $1.key }.map { name, table in
            "\n[engine.\(tomlKey(name))]\n" + lines(of: table)
        }.joined()
    }

    private func lines(of table: [String: TOMLNode]) -> String {
        table.sorted { $0.key < $1.key }.map { key, node in
            "\(tomlKey(key)) = \(redacted(node, under: key).tomlText)\n"
        }.joined()
    }

    private func redacted(_ node: TOMLNode, under key: String) -> TOMLNode {
        if Secret.isNamed(byKey: key) { return .string(Secret.redacted) }
        guard case .table(let table) = node else { return node }
        return .table(Dictionary(uniqueKeysWithValues: table.map { ($0.key, redacted($0.value, under: $0.key)) }))
    }

    private func name(_ origin: ConfigurationError.Location) -> String {
        switch origin {
        case .environment(let name): "environment \(name)"
        case .flag, .argument, .file, .none: "\(origin)"
        }
    }
}
