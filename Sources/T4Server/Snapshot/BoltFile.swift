import T4Core

/// The format of a bbolt file, version 2, as far as a file needs it that is written once; `BoltDatabase` reads all others.
///
/// Pages of 4096 bytes; all integers are little-endian. Every page starts with a header: id (8), flags (2), count of
/// elements (2), number of pages that continue it (4).
///
/// | page | content |
/// |---|---|
/// | 0, 1 | meta: magic (4), version (4), page size (4), flags (4), root bucket (16), freelist page (8), number of pages (8), transaction (8), FNV-1a-64 of the bytes before (8) |
/// | 2 | freelist: empty |
/// | others | leaves and branches of the buckets, and of the root bucket that names them |
///
/// An element of a leaf: flags (4; 1: the value is a bucket), distance from the element to key and value (4), bytes of
/// the key (4), of the value (4). Of a branch: distance to the key (4), bytes of the key (4), page below (8). A bucket:
/// its root page (8), a sequence number that nobody uses (8).
enum BoltFile {
    static let pageBytes = 4096
    static let headerBytes = 16
    static let elementBytes = 16
    /// Longest key, in bytes.
    static let keyBytesMax = 32768

    /// What a page holds.
    enum PageKind: UInt16 {
        case branch = 0x01
        case leaf = 0x02
        case meta = 0x04
        case freelist = 0x10
    }

    /// The flag of a leaf's element whose value is a bucket.
    static let bucketFlag: UInt32 = 1
    static let freelistPage: UInt64 = 2
    /// The first page that is neither meta nor freelist.
    static let firstPage: UInt64 = 3

    private static let magic: UInt32 = 0xED0C_DAED
    private static let version: UInt32 = 2

    static func appendHeader(
        _ kind: PageKind, page: UInt64, count: Int, overflow: Int, to bytes: inout [UInt8]
    ) {
        bytes.append(littleEndian: page)
        bytes.append(littleEndian: kind.rawValue)
        bytes.append(littleEndian: UInt16(count))
        bytes.append(littleEndian: UInt32(overflow))
    }

    /// The value of a bucket's element.
    static func bucket(root: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(littleEndian: root)
        bytes.append(littleEndian: 0 as UInt64)
        return bytes
    }

    /// Pages 0 to 2 of a file of `pages` pages.
    static func firstPages(root: UInt64, pages: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        // A reader takes the meta page of the higher transaction; its successor goes to the other page, by parity.
        for (page, transaction) in [(0, 2), (1, 1)] as [(UInt64, UInt64)] {
            appendHeader(.meta, page: page, count: 0, overflow: 0, to: &bytes)
            let meta = meta(root: root, pages: pages, transaction: transaction)
            bytes.append(contentsOf: meta)
            bytes.append(littleEndian: checksum(meta))
            bytes.fillPage()
        }
        appendHeader(.freelist, page: freelistPage, count: 0, overflow: 0, to: &bytes)
        bytes.fillPage()
        return bytes
    }

    private static func meta(root: UInt64, pages: UInt64, transaction: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(littleEndian: magic)
        bytes.append(littleEndian: version)
        bytes.append(littleEndian: UInt32(pageBytes))
        bytes.append(littleEndian: 0 as UInt32)
        bytes.append(contentsOf: bucket(root: root))
        bytes.append(littleEndian: freelistPage)
        bytes.append(littleEndian: pages)
        bytes.append(littleEndian: transaction)
        return bytes
    }

    /// Bytes of a meta page behind its header.
    static let metaBytes = 64

    /// Whether these `metaBytes` bytes are what a meta page holds.
    static func isMeta(_ bytes: [UInt8]) -> Bool {
        bytes.count == metaBytes && bytes.littleEndian(at: 0) as UInt32 == magic
            && bytes.littleEndian(at: 4) as UInt32 == version
            && bytes.littleEndian(at: metaBytes - 8) as UInt64 == checksum(Array(bytes.dropLast(8)))
    }

    private static func checksum(_ bytes: [UInt8]) -> UInt64 {
        bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
    }
}

extension [UInt8] {
    mutating func append(littleEndian integer: some FixedWidthInteger & BitwiseCopyable) {
        Swift.withUnsafeBytes(of: integer.littleEndian) { append(contentsOf: $0) }
    }

    /// Appends zeros up to the end of a page.
    mutating func fillPage() {
        append(contentsOf: repeatElement(0, count: -count & (BoltFile.pageBytes - 1)))
    }
}
