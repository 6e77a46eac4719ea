import COpenSSL

/// A SHA-256 over bytes that come in pieces, by OpenSSL's libcrypto.
///
/// One thread at a time; `digest()` may be asked at any point and does not end the hash.
package struct SHA256: ~Copyable {
    /// Bytes of a digest.
    package static let byteCount = 32

    private let context: OpaquePointer

    package init() {
        guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
            fatalError("libcrypto cannot start a SHA-256; there is no memory, or its provider is disabled")
        }
        self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    /// The digest of bytes that are all there.
    package static func digest(of bytes: RawSpan) -> [UInt8] {
        let hash = SHA256()
        hash.update(bytes)
        return hash.digest()
    }

    /// Takes more bytes.
    package func update(_ bytes: RawSpan) {
        let result = bytes.withUnsafeBytes { EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
        precondition(result == 1, "libcrypto refused bytes for a SHA-256")
    }

    /// The digest of all bytes so far.
    package func digest() -> [UInt8] {
        guard let copy = EVP_MD_CTX_new() else { fatalError("no memory for a SHA-256") }
        defer { EVP_MD_CTX_free(copy) }
        let copied = EVP_MD_CTX_copy_ex(copy, context)
        precondition(copied == 1, "libcrypto cannot copy a SHA-256")
        return [UInt8](unsafeUninitializedCapacity: Self.byteCount) { buffer, count in
            let finished = EVP_DigestFinal_ex(copy, buffer.baseAddress, nil)
            precondition(finished == 1, "libcrypto cannot finish a SHA-256")
            count = Self.byteCount
        }
    }
}
