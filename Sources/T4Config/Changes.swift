extension Configuration {
    /// A value that one configuration has and another one has not.
    public struct Change: Hashable, Sendable, CustomStringConvertible {
        /// The setting's full key, `log.level` or `engine.lmdb.map_size_max`.
        public var key: String
        /// The value before, as it stands in a TOML file; `<redacted>` for a secret, nil where there was none.
        public var before: String?
        /// The value afterwards; as `before`.
        public var after: String?
        /// True when a running node can take the new value over; false when it needs a restart.
        public var isReloadable: Bool

        /// `engine.type changed from "lmdb" to "memory"`.
        public var description: String {
            "\(key) changed from \(before ?? "its default") to \(after ?? "its default")"
        }
    }

    /// What is different in `other`, in the order of the settings; of the backends' tables only those of the
    /// engine and the store which are chosen here count.
    public func changes(to other: Configuration) -> [Change] {
        SettingDefinition.all.compactMap { setting in
            let (before, after) = (setting.writeTOML(self), setting.writeTOML(other))
            return before == after
                ? nil
                : Change(key: setting.key, before: before, after: after, isReloadable: setting.isReloadable)
        } + BackendKind.allCases.flatMap { changes(of: $0, to: other) }
    }

    /// This configuration with those values of `other` that a running node can take over.
    public func reloaded(from other: Configuration) -> Configuration {
        var result = self
        for setting in SettingDefinition.all where setting.isReloadable {
            setting.copy(other, &result)
            result.origins[setting.key] = other.origins[setting.key]
        }
        return result
    }

    private func changes(of kind: BackendKind, to other: Configuration) -> [Change] {
        let name = kind.type(in: self)
        func table(_ configuration: Configuration) -> [String: TOMLNode] {
            kind.tables(in: configuration)[name]?.table ?? [:]
        }
        let (before, after) = (table(self), table(other))
        return Set(before.keys).union(after.keys).sorted().compactMap { key in
            // Compared as text: a flag's value has no type of its own.
            guard before[key]?.tomlText != after[key]?.tomlText else { return nil }
            return Change(
                key: "\(kind.rawValue).\(tomlKey(name)).\(tomlKey(key))",
                before: before[key]?.redacted(under: key).tomlText,
                after: after[key]?.redacted(under: key).tomlText, isReloadable: false)
        }
    }
}
