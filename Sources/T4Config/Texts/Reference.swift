extension Configuration {
    /// A TOML file with every setting at its default, each explained, as `t4 config example` prints it.
    ///
    /// The settings are commented out: whoever wants another value takes the `#` away.
    public static let exampleTOML: String = {
        var text = """
            # Configuration of t4. Every line that starts with `#name =` shows a default.
            # A flag of `t4 run` comes before the environment, the environment before this file.

            """
        for (table, settings) in settingsByTable {
            text += "\n[\(table)]\n"
            for setting in settings {
                for line in wrapped(setting.summary, width: 100) { text += "# \(line)\n" }
                let value = setting.defaultTOML ?? quoted("node-a")
                let note = setting.defaultTOML == nil ? "  # default: \(setting.defaultText)" : ""
                text += "#\(setting.path[1]) = \(value)\(note)\n"
            }
        }
        return text
    }()

    /// The text of `docs/configuration.md`.
    package static let referenceMarkdown: String = {
        var text = """
            # Configuration

            One TOML file, named with `t4 run --config FILE` or in `T4_CONFIG`. Each setting can also be given as a flag or
            as an environment variable. A flag comes before the environment, the environment before the file, the file
            before the default. A variable that is empty counts as not set.

            Unknown tables, keys and flags, values of a wrong type or out of range, and values that do not go together are
            errors. All of them are reported at once, each with file, line and column and, where there is one, a hint:

            ```
            t4.toml:3:1: node.data_dri: unknown key; did you mean "data_dir"?
            ```

            `t4 config check` looks for such errors and starts nothing, `t4 config show` prints every value with its
            origin, `t4 config example` prints a file to begin with.

            Sizes are a number of bytes or a text with a unit: `"64KiB"`, `"1.5MiB"`, `"2GB"`. Durations are a text with
            units: `"250ms"`, `"10s"`, `"1h30m"`.

            This page is made from the same table as the program (`t4 config example --markdown`).

            """
        for (table, settings) in settingsByTable {
            text += "\n## [\(table)]\n\n| key | value | default | flag | environment |\n|---|---|---|---|---|\n"
            for setting in settings {
                let flag = "--\(setting.flag)"
                let placeholder = setting.placeholder.replacing("|", with: ", ")
                text += "| `\(setting.path[1])` | \(placeholder) | \(code(setting)) | `\(flag)` "
                text += "| `\(setting.environment)` |\n"
            }
            text += "\n"
            for setting in settings {
                let unit = setting.unitOfPlainNumber.map { " A plain number behind the flag counts \($0)." } ?? ""
                for (index, line) in wrapped("`\(setting.path[1])`: \(setting.summary)\(unit)", width: 114).enumerated()
                {
                    text += "\(index == 0 ? "- " : "  ")\(line)\n"
                }
            }
            if table == "engine" { text += engineMarkdown }
        }
        return text
    }()

    private static let engineMarkdown = """

        ## [engine.NAME]

        The settings of the engine NAME, read by that engine: a key that it does not know is an error when the
        node starts. The table of an engine that is not chosen is allowed and has no effect.

        """

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
