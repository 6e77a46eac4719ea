public import T4Protocols

extension Configuration {
    /// A TOML file with every setting at its default, each explained, as `t4 config example` prints it.
    ///
    /// The settings are commented out: whoever wants another value takes the `#` away.
    public static func exampleTOML(_ registry: BackendRegistry) -> String {
        var text = """
            # Configuration of t4. Every line that starts with `#name =` shows a default.
            # A flag of `t4 run` comes before the environment, the environment before this file.

            """
        for (table, settings) in settingsByTable {
            text += "\n[\(table)]\n"
            for setting in settings {
                for line in wrapped(setting.summary, width: 100) { text += "# \(line)\n" }
                let note = setting.defaultTOML == nil ? "  # default: \(setting.defaultText)" : ""
                text +=
                    setting.isNeverEmpty
                    ? "# \(setting.path[1]) = \(setting.placeholder)\(note)\n"
                    : "#\(setting.path[1]) = \(setting.exampleTOML)\(note)\n"
            }
            if let kind = BackendKind(rawValue: table) {
                for name in kind.names(in: registry) {
                    text += exampleTOML(of: kind, name, kind.descriptions(of: name, in: registry))
                }
            }
        }
        return text
    }

    private static func exampleTOML(
        of kind: BackendKind, _ name: String, _ settings: [SettingDescription]
    ) -> String {
        guard !settings.isEmpty else { return "" }
        var text = "\n[\(kind.rawValue).\(tomlKey(name))]\n"
        for setting in settings {
            for line in wrapped(setting.summary, width: 100) { text += "# \(line)\n" }
            text +=
                setting.defaultTOML.map { "#\(tomlKey(setting.key)) = \($0)\n" }
                ?? "# \(tomlKey(setting.key)) = \(setting.value)  # default: \(setting.defaultText)\n"
        }
        return text
    }

    /// The text of `docs/configuration.md`.
    package static func referenceMarkdown(_ registry: BackendRegistry) -> String {
        var text = """
            # Configuration

            One TOML file, named with `t4 run --config FILE` or in `T4_CONFIG`. Each setting can also be given as a flag or
            as an environment variable. A flag comes before the environment, the environment before the file, the file
            before the default. A variable that is empty counts as not set, but for `branch.checkpoint`, `restore.point_time`,
            `store.s3.as_of` and those of `client_tls`, `peer` and `peer_tls`: an empty value of these is an error wherever it
            stands, so that nobody gets the present who meant a moment of the past, an open port who meant one with TLS, or a
            node alone who meant a cluster.

            Unknown tables, keys and flags, values of a wrong type or out of range, and values that do not go together are
            errors. All of them are reported at once, each with file, line and column and, where there is one, a hint:

            ```
            t4.toml:3:1: node.data_dri: unknown key; did you mean "data_dir"?
            ```

            `t4 config check` looks for such errors and starts nothing, `t4 config show` prints every value with its
            origin, `t4 config example` prints a file to begin with.

            Sizes are a number of bytes or a text with a unit: `"64KiB"`, `"1.5MiB"`, `"2GB"`. Durations are a text with
            units: `"250ms"`, `"10s"`, `"1h30m"`.

            Values whose keys are named like secrets (`password`, `token`, `secret_access_key` ...) are shown nowhere:
            `<redacted>` stands in their place in messages, logs and `t4 config show`.

            A running node reads its configuration again on SIGHUP (`kill -HUP`). What the column *reload* calls "at once"
            counts from then on; every other setting that has changed is named in the log, one line each, and counts from
            the next start. When anything is wrong with the configuration, the log says what and everything stays as it was.

            This page is made from the same table as the program (`t4 config example --markdown`).

            """
        for (table, settings) in settingsByTable {
            text += "\n## [\(table)]\n\n| key | value | default | flag | environment | reload |\n"
            text += "|---|---|---|---|---|---|\n"
            for setting in settings {
                let flag = "--\(setting.flag)"
                let placeholder = setting.placeholder.replacing("|", with: ", ")
                text += "| `\(setting.path[1])` | \(placeholder) | \(code(setting)) | `\(flag)` "
                text += "| `\(setting.environment)` | \(setting.isReloadable ? "at once" : "restart") |\n"
            }
            text += "\n"
            for setting in settings {
                let unit = setting.unitOfPlainNumber.map { " A plain number behind the flag counts \($0)." } ?? ""
                text += item(setting.path[1], setting.summary + unit)
                for alias in setting.aliases {
                    let variable = SettingDefinition.variable(ofFlag: alias.flag)
                    text += item("--\(alias.flag)", "\(alias.summary) Environment: `\(variable)`.")
                }
            }
            if let kind = BackendKind(rawValue: table) {
                text += kind == .engine ? engineMarkdown : storeMarkdown
                for name in kind.names(in: registry) {
                    text += markdown(of: kind, name, kind.descriptions(of: name, in: registry))
                }
            }
        }
        return text
    }

    private static let engineMarkdown = """

        A data directory belongs to the engine that it was made with: a node refuses it when `type` names another one.
        `t4 engine convert --to NAME` makes the engine of a stopped directory again as one of another type. An engine that
        keeps nothing on disk (`memory`) can be neither converted nor converted to; its directory holds the log alone, from
        which any engine is filled at the next start.

        ## [engine.NAME]

        The settings of the engine NAME, those of engines that are not chosen too. Flags and variables are made from the
        names: `--engine-NAME-KEY`, `T4_ENGINE_NAME_KEY`, with `-` for `_` and capitals. Lists and tables inside can be
        given in the file only. All of them count from the next start.

        """

    private static let storeMarkdown = """

        The store keeps what has to outlive the data directory; [object-stores.md](object-stores.md) is about S3. A store that
        is set up while `type` is not set is an error, since whoever does so counts on copies of the data in it. A flag or a
        variable with a bucket (`--s3-bucket`, `T4_S3_BUCKET`) chooses `type = "s3"` by itself, as in T4; another `type` beside
        it is an error.

        `t4 verify-store` tries the store that is configured against every rule that t4 relies on.

        ## [store.NAME]

        The settings of the store NAME. Flags and variables are made from the names: `--store-NAME-KEY`, `T4_STORE_NAME_KEY`;
        those of the store `s3` are `--s3-KEY` and `T4_S3_KEY`. All of them count from the next start.

        """

    private static func markdown(
        of kind: BackendKind, _ name: String, _ settings: [SettingDescription]
    ) -> String {
        guard !settings.isEmpty else { return "" }
        var text = "\n## [\(kind.rawValue).\(tomlKey(name))]\n\n| key | value | default | flag | environment |\n"
        text += "|---|---|---|---|---|\n"
        for setting in settings {
            let flag = kind.flag(of: setting.key, name)
            let value = setting.value.replacing("|", with: ", ")
            let byDefault = setting.defaultTOML.map { "`\($0)`" } ?? setting.defaultText
            text += "| `\(setting.key)` | \(value) | \(byDefault) | `--\(flag)` "
            text += "| `\(SettingDefinition.variable(ofFlag: flag))` |\n"
        }
        return text + "\n" + settings.map { item($0.key, $0.summary) }.joined()
    }

    /// An item of a list, in lines that are not too long.
    private static func item(_ key: String, _ summary: String) -> String {
        wrapped("`\(key)`: \(summary)", width: 114).enumerated().map { index, line in
            "\(index == 0 ? "- " : "  ")\(line)\n"
        }.joined()
    }

    private static func code(_ setting: SettingDefinition) -> String {
        setting.defaultTOML.map { "`\($0)`" } ?? setting.defaultText
    }

    private static var settingsByTable: [(table: String, settings: [SettingDefinition])] {
        var groups: [(table: String, settings: [SettingDefinition])] = []
        for setting in SettingDefinition.all {
            if groups.last?.table == setting.path[0] {
                groups[groups.count - 1].settings.append(setting)
            } else {
                groups.append((setting.path[0], [setting]))
            }
        }
        return groups
    }
}
