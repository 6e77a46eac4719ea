import FoundationEssentials
public import Logging
public import RPC
public import T4Core

/// JSON Web Tokens as proofs of logins, as etcd makes them: the user, the auth revision of the login and the end. Nothing is
/// kept of them, so they cannot be taken back; but any change of accounts makes them too old. Usable from any thread.
public final class SignedTokens: Sendable {
    /// What a token with a good signature says.
    struct Claims: Hashable {
        var user: [UInt8]
        var revision: UInt64
        /// Seconds since 1970; nil for one that does not end.
        var expires: Double?
        /// Seconds since 1970.
        var begins: Double?

        /// - Parameter wall: Nanoseconds since 1970.
        func isValid(at wall: UInt64) -> Bool {
            let now = Double(wall) / 1e9
            if let begins, now < begins { return false }
            guard let expires else { return true }
            return now < expires
        }
    }

    private let method: SigningMethod
    private let lifetime: Duration
    private let key: SigningKey
    private let header: [UInt8]

    /// Reads the files; blocks.
    /// - Parameters:
    ///   - method: How tokens are signed; those that say another method are refused.
    ///   - lifetime: How long a token lives after its login: a second or more.
    /// - Throws: The first thing that is wrong with a file: it cannot be read, is not what it should be, is encrypted, holds a
    ///   key of another kind than the method's, or the two are not halves of one key.
    public init(
        _ method: SigningMethod, _ files: SigningKeyFiles, lifetime: Duration, logger: Logger
    ) throws(CredentialFileError) {
        self.method = method
        self.lifetime = lifetime
        key = try SigningKey(method, files)
        header = Base64URL.text(of: Array("{\"alg\":\"\(method.rawValue)\",\"typ\":\"JWT\"}".utf8))
        logger.info(
            key.canSign
                ? "logins get JSON Web Tokens"
                : "JSON Web Tokens of others are taken; nobody can log in here, since there is no private key",
            metadata: ["method": "\(method.rawValue)"])
    }

    /// Whether tokens can be made.
    var canSign: Bool { key.canSign }

    /// A token for somebody who has logged in.
    /// - Parameters:
    ///   - revision: The auth revision under which the password was compared.
    ///   - wall: Nanoseconds since 1970.
    /// - Throws: As etcd where there is no private key.
    func token(for user: [UInt8], revision: UInt64, at wall: UInt64) throws(RPCStatus) -> String {
        guard canSign else { throw EtcdErrors.verifyOnly }
        let end = wall / 1_000_000_000 + UInt64(lifetime.components.seconds)
        var claims = Array("{\"exp\":\(end),\"revision\":\(revision),\"username\":".utf8)
        JSONWriter.append(string: String(decoding: user, as: UTF8.self), to: &claims)
        claims.append(UInt8(ascii: "}"))
        let signed = header + [SignedTokens.dot] + Base64URL.text(of: claims)
        let signature = Base64URL.text(of: try key.signature(of: signed))
        return String(decoding: signed + [SignedTokens.dot] + signature, as: UTF8.self)
    }

    /// What a token says, at whatever time; nil for one that is not signed as it has to be, or says no user and revision.
    func claims(of token: [UInt8]) -> Claims? {
        let parts = token.split(separator: SignedTokens.dot, omittingEmptySubsequences: false)
        guard parts.count == 3, let head = SignedTokens.decode(Head.self, parts[0]), head.alg == method.rawValue,
            !head.hasCritical, let signature = Base64URL.bytes(of: parts[2]),
            key.verifies(signature, of: Array(token[..<parts[1].endIndex])),
            let body = SignedTokens.decode(Body.self, parts[1])
        else { return nil }
        return body.claims
    }

    private static let dot = UInt8(ascii: ".")

    private static func decode<Value: Decodable>(_: Value.Type, _ part: ArraySlice<UInt8>) -> Value? {
        guard let json = Base64URL.bytes(of: part) else { return nil }
        do {
            return try JSONDecoder().decode(Value.self, from: Data(json))
        } catch {
            // Why it is none helps nobody: whoever has made the token is not who reads the log.
            return nil
        }
    }
}

private struct Head: Decodable {
    var alg: String
    /// The token says that whoever does not know some field must refuse it; none are known here.
    var hasCritical: Bool

    private enum Key: String, CodingKey {
        case alg
        case crit
    }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Key.self)
        alg = try fields.decode(String.self, forKey: .alg)
        hasCritical = fields.contains(.crit)
    }
}

private struct Body: Decodable {
    var claims: SignedTokens.Claims

    private enum Key: String, CodingKey {
        case username
        case revision
        case exp
        case nbf
    }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Key.self)
        /// What is there has to be a number: no end is to be lost.
        func time(_ key: Key) throws -> Double? {
            fields.contains(key) ? try fields.decode(Double.self, forKey: key) : nil
        }
        let revision = try fields.decode(Double.self, forKey: .revision)
        guard let whole = UInt64(exactly: revision.rounded(.towardZero)) else {
            throw DecodingError.dataCorruptedError(forKey: .revision, in: fields, debugDescription: "no revision")
        }
        claims = SignedTokens.Claims(
            user: Array(try fields.decode(String.self, forKey: .username).utf8), revision: whole,
            expires: try time(.exp), begins: try time(.nbf))
    }
}

/// The base64 of tokens: two other letters than JSON's, and no padding.
enum Base64URL {
    private static let pairs: [(url: UInt8, standard: UInt8)] = [
        (UInt8(ascii: "-"), UInt8(ascii: "+")), (UInt8(ascii: "_"), UInt8(ascii: "/")),
    ]
    private static let padding = UInt8(ascii: "=")

    static func text(of bytes: [UInt8]) -> [UInt8] {
        var text: [UInt8] = []
        bytes.withUnsafeBytes { Base64.append($0, to: &text) }
        return text.filter { $0 != padding }.map { letter in
            pairs.first { $0.standard == letter }?.url ?? letter
        }
    }

    /// Nil for what is no such text.
    static func bytes(of text: some Collection<UInt8>) -> [UInt8]? {
        let foreign = pairs.map(\.standard) + [padding, UInt8(ascii: "\n"), UInt8(ascii: "\r")]
        guard !text.contains(where: foreign.contains) else { return nil }
        let standard = text.map { letter in pairs.first { $0.url == letter }?.standard ?? letter }
        let missing = (4 - standard.count % 4) % 4
        do {
            return try Base64.decode(standard + [UInt8](repeating: padding, count: missing))
        } catch {
            return nil
        }
    }
}
