import COpenSSL
import RPC
import T4Core

/// A key that makes and checks the signatures of one method, by OpenSSL's libcrypto. Usable from any thread.
final class SigningKey: Sendable {
    private let loaded: LoadedKey
    private let method: SigningMethod
    /// False where only the public half is known.
    let canSign: Bool

    /// Reads the files; blocks.
    /// - Throws: The first thing that is wrong with one of them.
    init(_ method: SigningMethod, _ files: SigningKeyFiles) throws(CredentialFileError) {
        self.method = method
        switch files {
        case .signing(let file, let publicFile):
            loaded = try LoadedKey(private: file, for: method)
            canSign = true
            guard let publicFile, try !loaded.matches(LoadedKey(public: publicFile, for: method)) else { return }
            throw file.problem(
                "the key does not belong to the public key in \(publicFile.path)",
                "name the two halves of one key, or leave the public one out")
        case .verifying(let file):
            loaded = try LoadedKey(public: file, for: method)
            canSign = false
        }
    }

    // MARK: Signatures

    /// The signature of some bytes, in the form that tokens have.
    /// - Throws: INTERNAL where libcrypto makes none. Not for a key that cannot sign.
    func signature(of message: [UInt8]) throws(RPCStatus) -> [UInt8] {
        precondition(canSign, "a public key signs nothing")
        guard let made = rawSignature(of: message), let signature = isECDSA ? ECDSASignature.plain(made, width) : made
        else {
            ERR_clear_error()
            throw RPCStatus(.internal, "t4: libcrypto made no signature")
        }
        return signature
    }

    /// Whether these bytes are the signature of those, made with this key.
    func verifies(_ signature: [UInt8], of message: [UInt8]) -> Bool {
        // A failure leaves errors in the queue of this thread, which others would take for theirs.
        defer { ERR_clear_error() }
        if method.family == .hmac {
            guard let made = rawSignature(of: message), made.count == signature.count else { return false }
            return CRYPTO_memcmp(made, signature, made.count) == 0
        }
        guard let signature = isECDSA ? ECDSASignature.structured(signature, width) : signature else { return false }
        return withContext { context, parameters in
            guard EVP_DigestVerifyInit(context, &parameters, digest, nil, loaded.key) == 1,
                setPadding(parameters, saltLength: RSA_PSS_SALTLEN_AUTO)
            else { return false }
            return EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
        }
    }

    /// As libcrypto writes it.
    private func rawSignature(of message: [UInt8]) -> [UInt8]? {
        withContext { context, parameters in
            var count = 0
            guard EVP_DigestSignInit(context, &parameters, digest, nil, loaded.key) == 1,
                setPadding(parameters, saltLength: RSA_PSS_SALTLEN_DIGEST),
                EVP_DigestSign(context, nil, &count, message, message.count) == 1
            else { return nil }
            var signature = [UInt8](repeating: 0, count: count)
            guard EVP_DigestSign(context, &signature, &count, message, message.count) == 1 else { return nil }
            return Array(signature.prefix(count))
        }
    }

    private func withContext<Result>(_ body: (OpaquePointer, inout OpaquePointer?) -> Result) -> Result {
        guard let context = EVP_MD_CTX_new() else { preconditionFailure("libcrypto has no memory") }
        defer { EVP_MD_CTX_free(context) }
        var parameters: OpaquePointer?
        return body(context, &parameters)
    }

    /// - Returns: False where libcrypto refuses it.
    private func setPadding(_ parameters: OpaquePointer?, saltLength: Int32) -> Bool {
        guard method.family == .rsaPSS else { return true }
        return EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1
            && EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, saltLength) == 1
    }

    private var isECDSA: Bool { method.family == .ecdsa }

    /// Bytes of each of the two numbers of a signature.
    private var width: Int { (method.curve.bits + 7) / 8 }

    /// Nil for Ed25519, which brings its own.
    private var digest: OpaquePointer? {
        switch method {
        case .rs256, .ps256, .es256, .hs256: EVP_sha256()
        case .rs384, .ps384, .es384, .hs384: EVP_sha384()
        case .rs512, .ps512, .es512, .hs512: EVP_sha512()
        case .edDSA: nil
        }
    }
}

/// Signatures of ECDSA: tokens have the two numbers one after the other, libcrypto a structure of ASN.1.
private enum ECDSASignature {
    static func plain(_ structured: [UInt8], _ width: Int) -> [UInt8]? {
        let read = structured.withUnsafeBufferPointer { bytes in
            var next = bytes.baseAddress
            return d2i_ECDSA_SIG(nil, &next, bytes.count)
        }
        guard let read else { return nil }
        defer { ECDSA_SIG_free(read) }
        var plain = [UInt8](repeating: 0, count: 2 * width)
        let isWritten = plain.withUnsafeMutableBufferPointer { bytes in
            guard let begin = bytes.baseAddress else { return false }
            let count = Int32(width)
            return BN_bn2binpad(ECDSA_SIG_get0_r(read), begin, count) == count
                && BN_bn2binpad(ECDSA_SIG_get0_s(read), begin + width, count) == count
        }
        return isWritten ? plain : nil
    }

    static func structured(_ plain: [UInt8], _ width: Int) -> [UInt8]? {
        guard plain.count == 2 * width, let signature = ECDSA_SIG_new() else { return nil }
        defer { ECDSA_SIG_free(signature) }
        let first = BN_bin2bn(Array(plain[..<width]), Int32(width), nil)
        let second = BN_bin2bn(Array(plain[width...]), Int32(width), nil)
        guard ECDSA_SIG_set0(signature, first, second) == 1 else {
            BN_free(first)
            BN_free(second)
            return nil
        }
        var bytes: UnsafeMutablePointer<UInt8>?
        let count = i2d_ECDSA_SIG(signature, &bytes)
        guard count > 0, let bytes else { return nil }
        defer { CRYPTO_free(bytes, nil, 0) }
        return Array(UnsafeBufferPointer(start: bytes, count: Int(count)))
    }
}
