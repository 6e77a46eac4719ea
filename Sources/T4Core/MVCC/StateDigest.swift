import COpenSSL

/// A digest of a set of rows that is kept up to date in constant time per changed row: the sum of the rows' SHA-256, as
/// little-endian numbers modulo 2^256.
///
/// Over the current and system rows (but the meta row), so that neither compaction nor engine change it. It finds errors;
/// against somebody who chooses rows to collide a sum is weak.
package struct StateDigest: Hashable, Sendable {
    /// Name of the algorithm in manifests.
    package static let algorithm = "sum-sha256"
    /// Bytes of a digest.
    package static let byteCount = 32

    /// Looked up once: libcrypto's own lookup costs more than the hash of a small row. Never freed or changed.
    private nonisolated(unsafe) static let sha256 = EVP_MD_fetch(nil, "SHA256", nil)

    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    /// Of no rows.
    package init() {}

    /// Reads `bytes`.
    package init(_ bytes: RawSpan) {
        bytes.withUnsafeBytes { raw in
            func word(_ number: Int) -> UInt64 {
                UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: number * 8, as: UInt64.self))
            }
            words = (word(0), word(1), word(2), word(3))
        }
    }

    /// The 32 bytes of the sum.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(StateDigest.byteCount)
        for word in [words.0, words.1, words.2, words.3] { bytes.appendLittleEndian(word) }
        return bytes
    }

    /// Takes a row in.
    package mutating func add(name: [UInt8], value: [UInt8]) {
        let row = StateDigest.element(name, value)
        var carry = false
        (words.0, carry) = words.0.addingReportingOverflow(row.0)
        (words.1, carry) = StateDigest.add(words.1, row.1, carry)
        (words.2, carry) = StateDigest.add(words.2, row.2, carry)
        (words.3, carry) = StateDigest.add(words.3, row.3, carry)
    }

    /// Takes a row out that was added.
    package mutating func remove(name: [UInt8], value: [UInt8]) {
        let row = StateDigest.element(name, value)
        var borrow = false
        (words.0, borrow) = words.0.subtractingReportingOverflow(row.0)
        (words.1, borrow) = StateDigest.subtract(words.1, row.1, borrow)
        (words.2, borrow) = StateDigest.subtract(words.2, row.2, borrow)
        (words.3, borrow) = StateDigest.subtract(words.3, row.3, borrow)
    }

    private static func add(_ left: UInt64, _ right: UInt64, _ carry: Bool) -> (UInt64, Bool) {
        let (sum, first) = left.addingReportingOverflow(right)
        let (total, second) = sum.addingReportingOverflow(carry ? 1 : 0)
        return (total, first || second)
    }

    private static func subtract(_ left: UInt64, _ right: UInt64, _ borrow: Bool) -> (UInt64, Bool) {
        let (difference, first) = left.subtractingReportingOverflow(right)
        let (total, second) = difference.subtractingReportingOverflow(borrow ? 1 : 0)
        return (total, first || second)
    }

    /// SHA-256 over the length of the name (4 bytes, little-endian), name and value.
    private static func element(_ name: [UInt8], _ value: [UInt8]) -> (UInt64, UInt64, UInt64, UInt64) {
        withUnsafeTemporaryAllocation(byteCount: 4 + name.count + value.count, alignment: 1) { row in
            row.storeBytes(of: UInt32(name.count).littleEndian, as: UInt32.self)
            row[4...].copyBytes(from: name)
            row[(4 + name.count)...].copyBytes(from: value)
            return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 4) { words in
                let size = StateDigest.byteCount
                words.withMemoryRebound(to: UInt8.self) { hash in
                    let result = EVP_Digest(row.baseAddress, row.count, hash.baseAddress, nil, sha256, nil)
                    precondition(result == 1 && hash.count == size, "libcrypto cannot make a SHA-256")
                }
                return (
                    UInt64(littleEndian: words[0]), UInt64(littleEndian: words[1]), UInt64(littleEndian: words[2]),
                    UInt64(littleEndian: words[3])
                )
            }
        }
    }

    package static func == (left: StateDigest, right: StateDigest) -> Bool { left.words == right.words }

    package func hash(into hasher: inout Hasher) {
        for word in [words.0, words.1, words.2, words.3] { hasher.combine(word) }
    }
}
