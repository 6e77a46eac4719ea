extension Configuration {
    /// The whole configuration as TOML, each value with its origin behind it. Reading it gives the same values again.
    ///
    /// Values whose keys look like secrets are replaced by `<redacted>`. What a flag or a variable sets for a backend has
    /// no type here: it is written as the number or switch that it looks like, else as a text.
    public func describe() -> String {
        var text = ""
        var table = ""
        for setting in SettingDefinition.all {
            if setting.path[0] != table {
                text += BackendKind(rawValue: table).map(describeTables) ?? ""
                table = setting.path[0]
                text += "\(text.isEmpty ? "" : "\n")[\(table)]\n"
            }
            let origin = origins[setting.key].map(name) ?? "default"
            text +=
                setting.isNeverEmpty && origins[setting.key] == nil
                ? "# \(setting.path[1]): \(setting.defaultText)  # \(origin)\n"
                : "\(setting.path[1]) = \(setting.writeTOML(self))  # \(origin)\n"
        }
        return text
    }

    private func describeTables(of kind: BackendKind) -> String {
        kind.tables(in: self).sorted { $0.key < $1.key }.filter { !$0.value.table.isEmpty }.map { name, settings in
            "\n[\(kind.rawValue).\(tomlKey(name))]\n"
                + settings.table.sorted { $0.key < $1.key }.map { key, node in
                    let origin = self.name(settings.origin(of: key))
                    return "\(tomlKey(key)) = \(node.redacted(under: key).tomlText)  # \(origin)\n"
                }.joined()
        }.joined()
    }

    private func name(_ origin: ConfigurationError.Location) -> String {
        switch origin {
        case .environment(let name): "environment \(name)"
        case .flag, .argument, .file, .none: "\(origin)"
        }
    }
}

extension TOMLNode {
    /// The value of a key, with `<redacted>` in the place of everything that is named like a secret.
    func redacted(under key: String) -> TOMLNode {
        if Secret.isNamed(byKey: key) { return .string(Secret.redacted) }
        return switch self {
        case .table(let table):
            .table(Dictionary(uniqueKeysWithValues: table.map { ($0.key, $0.value.redacted(under: $0.key)) }))
        case .array(let nodes): .array(nodes.map { $0.redacted(under: key) })
        default: self
        }
    }
}
