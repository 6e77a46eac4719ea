import T4Protocols

/// The first 48 bytes of an object's file; the body follows.
///
/// | offset | bytes | content |
/// |---|---|---|
/// | 0 | 8 | `T4OBJECT` |
/// | 8 | 4 | format version: 1 |
/// | 12 | 4 | zero |
/// | 16 | 8 | bytes of the body |
/// | 24 | 16 | the object's version: random, new with each put |
/// | 40 | 8 | 64-bit FNV-1a of bytes 0 to 39 |
///
/// Integers are little-endian.
struct ObjectHeader {
    static let byteCount = 48

    var bodySize: UInt64 = 0
    private let version: (UInt64, UInt64)

    /// Of a new put: with a version that nobody has had.
    init() {
        version = (UInt64.random(in: 0...UInt64.max), UInt64.random(in: 0...UInt64.max))
    }

    /// Reads a header.
    /// - Throws: `.corrupted`, which names the object and the file; `.unsupported` for a file of a later version.
    init(_ bytes: [UInt8], of key: ObjectKey, file: @autoclosure () -> String) throws(ObjectStoreError) {
        func integer(at offset: Int) -> UInt64 {
            bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
        }
        guard bytes.count == ObjectHeader.byteCount, bytes.starts(with: ObjectHeader.magic),
            integer(at: 40) == fnv1a(bytes[..<40])
        else { throw ObjectStoreError(.corrupted, "\(key): \(file()) does not begin with the header of an object") }
        guard integer(at: 8) == 1 else {
            throw ObjectStoreError(
                .unsupported,
                "\(key): \(file()) has format version \(UInt32(truncatingIfNeeded: integer(at: 8))), written by a later "
                    + "version of t4; this one reads up to 1: use a newer t4")
        }
        bodySize = integer(at: 16)
        version = (integer(at: 24), integer(at: 32))
    }

    var bytes: [UInt8] {
        var bytes = Array(ObjectHeader.magic)
        func append(_ integer: UInt64) { withUnsafeBytes(of: integer.littleEndian) { bytes += $0 } }
        append(1)
        append(bodySize)
        append(version.0)
        append(version.1)
        append(fnv1a(bytes))
        return bytes
    }

    var versionText: ObjectVersion {
        func hex(_ number: UInt64) -> String {
            let digits = String(number, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
        return ObjectVersion(hex(version.0) + hex(version.1))
    }

    private static let magic = "T4OBJECT".utf8
}
