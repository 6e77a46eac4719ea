import COpenSSL

/// One-shot digests by OpenSSL's libcrypto.
enum Digests {
    static func sha256(_ bytes: some Collection<UInt8>) -> [UInt8] { digest(bytes, EVP_sha256(), byteCount: 32) }

    /// For `Content-MD5`, where the protocol wants it; no security rests on it.
    static func md5(_ bytes: some Collection<UInt8>) -> [UInt8] { digest(bytes, EVP_md5(), byteCount: 16) }

    static func hmacSHA256(key: [UInt8], _ text: some StringProtocol) -> [UInt8] {
        let bytes = Array(text.utf8)
        return [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
            let result = HMAC(
                EVP_sha256(), key, Int32(key.count), bytes, bytes.count, buffer.baseAddress, nil)
            precondition(result != nil, "libcrypto cannot compute an HMAC")
            count = 32
        }
    }

    private static func digest(
        _ bytes: some Collection<UInt8>, _ algorithm: OpaquePointer?, byteCount: Int
    ) -> [UInt8] {
        func run(_ source: UnsafeBufferPointer<UInt8>) -> [UInt8] {
            [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
                let code = EVP_Digest(source.baseAddress, source.count, buffer.baseAddress, nil, algorithm, nil)
                precondition(code == 1, "libcrypto cannot compute a digest")
                count = byteCount
            }
        }
        return bytes.withContiguousStorageIfAvailable(run) ?? Array(bytes).withUnsafeBufferPointer(run)
    }
}

/// Lower-case hexadecimal digits.
func hex(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}

/// Base64 with padding.
func base64(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var result: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let group = bytes[start...].prefix(3)
        let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
        for place in 0..<4 {
            result.append(place <= group.count ? alphabet[bits >> (18 - 6 * place) & 63] : UInt8(ascii: "="))
        }
    }
    return String(decoding: result, as: UTF8.self)
}
