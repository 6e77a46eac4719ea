/// A text that must not appear in logs, errors or configuration dumps: printing it gives `<redacted>`.
public struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The text itself; hand it only to what needs it.
    public let revealed: String

    /// Keeps a text from being printed.
    public init(_ text: String) { self.revealed = text }

    /// What stands in the place of a secret.
    package static let redacted = "<redacted>"

    /// `<redacted>`.
    public var description: String { Secret.redacted }

    /// `<redacted>`.
    public var debugDescription: String { Secret.redacted }

    /// No children, so that `dump` and string interpolation of an enclosing value show nothing either.
    public var customMirror: Mirror { Mirror(self, children: [:]) }

    /// True for keys whose values are never shown: `password`, `auth_token`, `secret_access_key`.
    static func isNamed(byKey key: String) -> Bool {
        let parts = Set(key.lowercased().split { $0 == "_" || $0 == "-" || $0 == "." })
        return !parts.isDisjoint(with: ["secret", "password", "passphrase", "token", "credential", "credentials"])
            || key.lowercased().hasSuffix("encryption_key") || key.lowercased().hasSuffix("private_key")
    }
}
