public import T4Core

/// What proves a login. Written as etcd's `--auth-token`: the kind, then options, with commas between.
public enum AuthTokens: Hashable, Sendable {
    /// A token that the database remembers.
    case simple
    /// A JSON Web Token.
    case jwt(JWTSettings)
}

/// How JSON Web Tokens are made and checked.
public struct JWTSettings: Hashable, Sendable {
    /// How they are signed.
    public var method: SigningMethod
    /// File of the public key; nil for none, never with a method of a shared secret.
    public var publicKey: String?
    /// File of the private key, or of the secret; nil only beside a public key.
    public var privateKey: String?
    /// How long a token lives after its login: 1 s ... 3650 days.
    public var ttl = Duration.seconds(300)
}

extension AuthTokens: SettingValue {
    static var placeholder: String { "KIND,OPTIONS" }
    private static let wanted = "\"simple\" or \"jwt,sign-method=METHOD,pub-key=FILE,priv-key=FILE\""

    init(toml: TOMLNode) throws(Refusal) {
        guard case .string(let text) = toml else { throw .expected(AuthTokens.wanted, found: toml) }
        try self.init(text: text)
    }

    init(text: String) throws(Refusal) {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        let kind = parts[0]
        switch kind {
        case "simple":
            guard parts.count == 1 else { throw Refusal("tokens of the kind \"simple\" have no options") }
            self = .simple
        case "jwt": self = .jwt(try JWTSettings(options: parts.dropFirst()))
        default:
            var refusal = Refusal.expected(AuthTokens.wanted, foundText: text)
            refusal.hint = nearestName(to: kind, among: ["simple", "jwt"]).map { "did you mean \(quoted($0))?" }
            throw refusal
        }
    }

    var tomlText: String {
        switch self {
        case .simple: quoted("simple")
        case .jwt(let settings): quoted(settings.text)
        }
    }
}

extension JWTSettings {
    private enum Option: String, CaseIterable {
        case method = "sign-method"
        case publicKey = "pub-key"
        case privateKey = "priv-key"
        case ttl
    }

    private static let ttls: ClosedRange<Duration> = .seconds(1)...(.seconds(3650 * 86_400))

    fileprivate init(options: ArraySlice<String>) throws(Refusal) {
        var given: [Option: String] = [:]
        for text in options {
            let (option, value) = try JWTSettings.read(text)
            guard given.updateValue(value, forKey: option) == nil else {
                throw Refusal("\(quoted(option.rawValue)) stands twice")
            }
        }
        guard let name = given[.method] else {
            let names = SigningMethod.allCases.map(\.rawValue).joined(separator: ", ")
            throw Refusal("JSON Web Tokens need a sign-method", hint: "add sign-method=METHOD, one of \(names)")
        }
        method = try JWTSettings.method(name)
        (publicKey, privateKey) = (given[.publicKey], given[.privateKey])
        if let text = given[.ttl] {
            ttl = try Duration(text: text)
            if let refusal = within(JWTSettings.ttls)(ttl) {
                throw Refusal("ttl: \(refusal.reason)", hint: refusal.hint)
            }
        }
        if method.family == .hmac {
            guard publicKey == nil else {
                throw Refusal(
                    "\(name) has no public key: whoever can check its tokens can make them",
                    hint: "leave out pub-key, and name the file of the secret as priv-key")
            }
            guard privateKey != nil else {
                throw Refusal("\(name) needs a secret", hint: "add priv-key=FILE with the file of the secret")
            }
        } else if publicKey == nil, privateKey == nil {
            throw Refusal("\(name) needs a key", hint: "add priv-key=FILE, or pub-key=FILE to check tokens only")
        }
    }

    private static func read(_ text: String) throws(Refusal) -> (Option, String) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let option = Option(rawValue: parts[0]) else {
            let names = Option.allCases.map(\.rawValue)
            let nearest = nearestName(to: parts[0], among: names)
            throw Refusal(
                "tokens of the kind \"jwt\" have no option \(quoted(parts[0]))",
                hint: nearest.map { "did you mean \(quoted($0))?" } ?? "known: \(names.joined(separator: ", "))")
        }
        guard parts.count == 2, !parts[1].isEmpty else {
            throw Refusal("\(quoted(option.rawValue)) has no value", hint: "write \(option.rawValue)=VALUE")
        }
        return (option, parts[1])
    }

    private static func method(_ name: String) throws(Refusal) -> SigningMethod {
        if let method = SigningMethod(rawValue: name) { return method }
        let names = SigningMethod.allCases.map(\.rawValue)
        throw Refusal(
            "no sign-method is called \(quoted(name))",
            hint: nearestName(to: name, among: names).map { "did you mean \(quoted($0))?" }
                ?? "known: \(names.joined(separator: ", "))")
    }

    fileprivate var text: String {
        var text = "jwt,sign-method=\(method.rawValue)"
        if let publicKey { text += ",pub-key=\(publicKey)" }
        if let privateKey { text += ",priv-key=\(privateKey)" }
        return text + ",ttl=\(ttl.text)"
    }
}
