import COpenSSL
public import RPC
import T4Core

/// Where the keys of signed tokens lie.
public enum SigningKeyFiles: Sendable {
    /// A private key in PEM format, or for the methods of a shared secret the file whose bytes are the secret. A public key
    /// beside it has to be its other half.
    case signing(CredentialFile, matching: CredentialFile? = nil)
    /// A public key or a certificate in PEM format: tokens are taken, and none are made.
    case verifying(CredentialFile)
}

/// A key of libcrypto, of the kind that a method takes.
final class LoadedKey: @unchecked Sendable {
    /// Lives as long as the object. OpenSSL lets several threads use a key at once that nobody changes.
    let key: OpaquePointer

    /// RFC 7518 allows no shorter ones.
    private static let rsaBitsMin = 2048

    /// Takes over the pointer.
    private init(_ key: OpaquePointer) { self.key = key }

    deinit { EVP_PKEY_free(key) }

    /// Whether both have the same public half.
    func matches(_ other: LoadedKey) -> Bool {
        defer { ERR_clear_error() }
        return EVP_PKEY_eq(key, other.key) == 1
    }

    /// Reads a private key, or the secret that the file is.
    convenience init(private file: CredentialFile, for method: SigningMethod) throws(CredentialFileError) {
        let bytes = try file.read()
        guard method.family == .hmac else {
            try PEM(file: file, bytes: bytes).requirePrivateKey()
            let key = LoadedKey.withText(bytes) { text in
                // Without a callback a password would be asked for on the terminal.
                PEM_read_bio_PrivateKey(text, nil, { _, _, _, _ in -1 }, nil)
            }
            self.init(try LoadedKey.checked(key, file, "private", for: method))
            return
        }
        guard !bytes.isEmpty else {
            throw file.problem("the file is empty", "write a secret into it (openssl rand -hex 64)")
        }
        guard let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, nil, bytes, bytes.count) else {
            ERR_clear_error()
            throw file.problem("libcrypto does not take it as a secret", "make it anew (openssl rand -hex 64)")
        }
        self.init(key)
    }

    /// Reads a public key, or that of a certificate.
    convenience init(public file: CredentialFile, for method: SigningMethod) throws(CredentialFileError) {
        guard method.family != .hmac else {
            throw file.problem(
                "\(method.rawValue) has no public key", "name the file of the secret as the private key")
        }
        let bytes = try file.read()
        try PEM(file: file, bytes: bytes).requirePublicKey()
        let key =
            LoadedKey.withText(bytes) { PEM_read_bio_PUBKEY($0, nil, nil, nil) }
            ?? LoadedKey.withText(bytes, LoadedKey.keyOfCertificate)
        self.init(try LoadedKey.checked(key, file, "public", for: method))
    }

    private static func withText<Result>(_ bytes: [UInt8], _ body: (OpaquePointer?) -> Result) -> Result {
        bytes.withUnsafeBytes { bytes in
            // Files are of 16 MiB at most.
            let text = BIO_new_mem_buf(bytes.baseAddress, Int32(bytes.count))
            defer { BIO_free(text) }
            return body(text)
        }
    }

    private static func keyOfCertificate(_ text: OpaquePointer?) -> OpaquePointer? {
        guard let certificate = PEM_read_bio_X509(text, nil, nil, nil) else { return nil }
        defer { X509_free(certificate) }
        return X509_get_pubkey(certificate)
    }

    /// Refuses keys of other kinds than the method's.
    private static func checked(
        _ key: OpaquePointer?, _ file: CredentialFile, _ half: String, for method: SigningMethod
    ) throws(CredentialFileError) -> OpaquePointer {
        ERR_clear_error()
        guard let key else {
            throw file.problem(
                "the \(half) key in it is damaged or of an unknown kind", "copy or make it anew, \(method.keyName)")
        }
        var found = kind(of: key)
        if found == "RSA", EVP_PKEY_get_bits(key) < rsaBitsMin { found = "RSA of \(EVP_PKEY_get_bits(key)) bits" }
        let wanted = method.family == .rsa || method.family == .rsaPSS ? "RSA" : method.keyName
        guard found == wanted else {
            EVP_PKEY_free(key)
            throw file.problem(
                "the key in it is \(found), and \(method.rawValue) needs \(method.keyName)",
                "name another key, or the sign-method that goes with this one")
        }
        return key
    }

    private static func kind(of key: OpaquePointer) -> String {
        switch EVP_PKEY_get_base_id(key) {
        case EVP_PKEY_RSA: return "RSA"
        case EVP_PKEY_ED25519: return "Ed25519"
        case EVP_PKEY_EC:
            var name = [CChar](repeating: 0, count: 64)
            guard EVP_PKEY_get_group_name(key, &name, name.count, nil) == 1 else {
                return "ECDSA on a curve of its own"
            }
            return "ECDSA on \(String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))"
        default: return "of another kind"
        }
    }
}

extension SigningMethod {
    /// The curve of an ECDSA key, by OpenSSL's name.
    var curve: (name: String, bits: Int) {
        switch self {
        case .es256: ("prime256v1", 256)
        case .es384: ("secp384r1", 384)
        case .es512: ("secp521r1", 521)
        default: preconditionFailure("no method of curves")
        }
    }

    /// The kind of key, for messages.
    fileprivate var keyName: String {
        switch family {
        case .rsa, .rsaPSS: "RSA of 2048 bits or more"
        case .ecdsa: "ECDSA on \(curve.name)"
        case .ed25519: "Ed25519"
        case .hmac: "a secret"
        }
    }
}
