public import T4Protocols

extension Configuration {
    /// Reads the flags of a command line: `--name value`, `--name=value`, and a switch alone for true.
    ///
    /// - Returns: Values by flag name without dashes; unknown names are kept for `load` to refuse. A flag that stands
    ///   twice counts with its last value.
    /// - Throws: A word that is no flag, or a flag without its value, a `--config` that names no file.
    public static func parseFlags(_ arguments: [String]) throws(ConfigurationError) -> [String: String] {
        var flags: [String: String] = [:]
        var rest = arguments[...]
        while let word = rest.popFirst() {
            guard word.hasPrefix("--"), word.count > 2 else {
                throw ConfigurationError(.init(at: .argument, reason: "unexpected argument \(quoted(word))"))
            }
            let parts = word.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            let setting = SettingDefinition.all.first { $0.names.contains { $0.flag == name } }
            if parts.count == 2 {
                flags[name] = String(parts[1])
            } else if setting?.names.first(where: { $0.flag == name })?.isSwitch == true {
                let value = rest.first.flatMap { Bool.names[$0] }
                if value != nil { rest.removeFirst() }
                flags[name] = String(value ?? true)
            } else if let value = rest.first, setting == nil ? !value.hasPrefix("--") : true {
                rest.removeFirst()
                flags[name] = value
            } else if setting == nil {
                flags[name] = ""
            } else {
                throw ConfigurationError(
                    .init(
                        at: .flag(name), reason: "the value is missing",
                        hint: "write --\(name) \(setting?.placeholder ?? "")"))
            }
        }
        if flags["config"]?.isEmpty == true {
            throw ConfigurationError(
                .init(at: .flag("config"), reason: "the file's name is empty", hint: "leave it out where there is none")
            )
        }
        return flags
    }

    /// The part of `t4 run --help` that lists the settings' flags, those of the registry's engines and stores too.
    public static func flagHelp(_ registry: BackendRegistry) -> String {
        let settings = SettingDefinition.all.flatMap { setting in
            [
                help(
                    flag: setting.flag, placeholder: setting.isSwitch ? "[=true|false]" : " \(setting.placeholder)",
                    summary: setting.summary
                        + (setting.unitOfPlainNumber.map { " A plain number counts \($0)." } ?? ""),
                    defaultText: setting.defaultText, key: setting.key)
            ]
                + setting.aliases.map { alias in
                    let placeholder = alias.isSwitch ? "[=true|false]" : " \(setting.placeholder)"
                    let summary = "\(alias.summary) Environment: \(SettingDefinition.variable(ofFlag: alias.flag))."
                    return item(flag: alias.flag, placeholder: placeholder, wrapped(summary, width: 72))
                }
        }
        let backends = BackendKind.allCases.flatMap { kind in
            kind.names(in: registry).flatMap { name in
                kind.descriptions(of: name, in: registry).map { setting in
                    help(
                        flag: kind.flag(of: setting.key, name), placeholder: " \(setting.value)",
                        summary: setting.summary, defaultText: setting.defaultText,
                        key: "\(kind.rawValue).\(name).\(setting.key)")
                }
            }
        }
        return (settings + backends).joined(separator: "\n")
    }

    private static func help(
        flag: String, placeholder: String, summary: String, defaultText: String, key: String
    ) -> String {
        let names = "Default: \(defaultText). Environment: \(SettingDefinition.variable(ofFlag: flag)). File: \(key)."
        // Narrower than the 80 columns at which the argument parser would break lines without their indent.
        return item(flag: flag, placeholder: placeholder, wrapped(summary, width: 72) + wrapped(names, width: 72))
    }

    private static func item(flag: String, placeholder: String, _ lines: [String]) -> String {
        (["  --\(flag)\(placeholder)"] + lines.map { "      \($0)" }).joined(separator: "\n")
    }
}

extension Bool {
    fileprivate static let names = ["true": true, "false": false]
}
