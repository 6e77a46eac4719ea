/// A text that must not appear in logs and errors: printing it gives `<redacted>`.
public struct S3Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The text itself.
    public let revealed: String

    /// Keeps a text from being printed.
    public init(_ text: String) { revealed = text }

    /// `<redacted>`.
    public var description: String { "<redacted>" }

    /// `<redacted>`.
    public var debugDescription: String { description }

    /// No children, so that dumping an enclosing value shows nothing either.
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// A pair of keys, with what belongs to a temporary one.
struct Credentials: Hashable, Sendable {
    var accessKeyID: String
    var secretAccessKey: S3Secret
    var sessionToken: S3Secret?
    /// Nil for keys that do not expire.
    var expiration: UTCTime?
    /// Where they came from, for messages.
    var origin: String
}

/// Why there are no credentials; the text names the source and what it lacks.
struct CredentialsFailure: Error, Sendable, CustomStringConvertible {
    let description: String
    /// The cause is a request that may work later, so the caller may try again.
    var isTemporary = false

    init(_ description: String, isTemporary: Bool = false) {
        self.description = description
        self.isTemporary = isTemporary
    }
}

/// One place where credentials can come from.
protocol CredentialsSource: Sendable {
    /// The present credentials.
    func load() async throws(CredentialsFailure) -> Credentials
}

/// Credentials that are known from the start.
struct FixedCredentials: CredentialsSource {
    let credentials: Credentials

    func load() async throws(CredentialsFailure) -> Credentials { credentials }
}
