import Testing

@testable import T4Server

/// Reads a bbolt file as bbolt's own `check` does, and throws `Damage` at a page that is damaged, lost or used twice.
///
/// Written from the format, not from the writer: numbers are read here in their own way.
struct BoltReader {
    struct Row: Hashable {
        var key: [UInt8]
        var value: [UInt8]
    }

    /// What is wrong with the file.
    struct Damage: Error { var what: String }

    /// Every bucket, in the order of the file, with its rows.
    private(set) var buckets: [(name: String, rows: [Row])] = []

    private let file: [UInt8]
    private let pageCount: Int
    /// How often each page is named.
    private var uses: [Int: Int] = [:]

    init(_ file: [UInt8]) throws {
        self.file = file
        pageCount = file.count / 4096
        try check(file.count % 4096 == 0 && pageCount >= 4, "the size \(file.count)")
        let metas = try [0, 1].map { try meta(at: $0) }
        try check(metas[0].root == metas[1].root, "the meta pages name different roots")
        for page in 0...2 { uses[page, default: 0] += 1 }
        let freelist = header(2)
        try check(
            freelist.id == 2 && freelist.flags == 0x10 && freelist.count == 0 && freelist.overflow == 0, "the freelist")
        for (key, flags, value) in try rows(under: metas[0].root, from: nil, to: nil) {
            try check(flags == 1 && value.count == 16, "the root bucket holds buckets only")
            let root: UInt64 = number(value, 0)
            let rows = try rows(under: Int(root), from: nil, to: nil)
            try check(rows.allSatisfy { $0.flags == 0 }, "a bucket within a bucket")
            buckets.append((String(decoding: key, as: UTF8.self), rows.map { Row(key: $0.key, value: $0.value) }))
        }
        for page in 0..<pageCount { try check(uses[page] == 1, "page \(page) is used \(uses[page] ?? 0) times") }
    }

    func rows(of bucket: String) throws -> [Row] {
        try #require(buckets.first { $0.name == bucket }).rows
    }

    private func check(_ holds: Bool, _ what: @autoclosure () -> String) throws(Damage) {
        guard holds else { throw Damage(what: what()) }
    }

    private func meta(at page: Int) throws -> (root: Int, transaction: UInt64) {
        let header = header(page)
        try check(header.id == page && header.flags == 0x04, "the header of meta page \(page)")
        let start = page * 4096 + 16
        try check(
            number(file, start) as UInt32 == 0xED0C_DAED && number(file, start + 4) as UInt32 == 2,
            "magic number and version")
        try check(number(file, start + 8) as UInt32 == 4096, "the size of a page")
        try check(number(file, start + 32) as UInt64 == 2, "the freelist")
        try check(number(file, start + 40) as UInt64 == UInt64(pageCount), "the number of pages")
        var hash: UInt64 = 14_695_981_039_346_656_037
        for byte in file[start..<start + 56] { hash = (hash ^ UInt64(byte)) &* 1_099_511_628_211 }
        try check(number(file, start + 56) as UInt64 == hash, "the checksum of meta page \(page)")
        // bbolt writes the next transaction to the page of its parity: it must not be the newest one's.
        let transaction: UInt64 = number(file, start + 48)
        try check(Int(transaction % 2) == page, "transaction \(transaction) on page \(page)")
        return (Int(number(file, start + 16) as UInt64), transaction)
    }

    private func header(_ page: Int) -> (id: Int, flags: UInt16, count: Int, overflow: Int) {
        let start = page * 4096
        return (
            Int(number(file, start) as UInt64), number(file, start + 8), Int(number(file, start + 10) as UInt16),
            Int(number(file, start + 12) as UInt32)
        )
    }

    /// All rows of a tree, which must rise and lie from `lower` (included) to `upper` (excluded).
    private mutating func rows(
        under page: Int, from lower: [UInt8]?, to upper: [UInt8]?, isRoot: Bool = true
    ) throws -> [(key: [UInt8], flags: UInt32, value: [UInt8])] {
        try check(page > 2 && page < pageCount, "page \(page) of \(pageCount)")
        let (id, flags, count, overflow) = header(page)
        try check(id == page && page + overflow < pageCount, "page \(page) says that it is \(id) with \(overflow) more")
        for page in page...page + overflow { uses[page, default: 0] += 1 }
        try check(isRoot || count >= 2, "page \(page) has \(count) elements")
        let elements = (0..<count).map { page * 4096 + 16 + $0 * 16 }
        let end = (page + overflow + 1) * 4096
        func bytes(_ start: Int, _ count: UInt32) throws -> [UInt8] {
            try check(start + Int(count) <= end, "an element reaches out of page \(page)")
            return Array(file[start..<start + Int(count)])
        }
        var found: [(key: [UInt8], flags: UInt32, value: [UInt8])] = []
        if flags == 0x02 {
            for element in elements {
                let key = try bytes(element + Int(number(file, element + 4) as UInt32), number(file, element + 8))
                let valueStart = element + Int(number(file, element + 4) as UInt32) + key.count
                found.append((key, number(file, element), try bytes(valueStart, number(file, element + 12))))
            }
        } else {
            try check(flags == 0x01 && count > 0, "page \(page) has the flags \(flags)")
            let keys = try elements.map {
                try bytes($0 + Int(number(file, $0) as UInt32), number(file, $0 + 4))
            }
            for (index, element) in elements.enumerated() {
                let below = Int(number(file, element + 8) as UInt64)
                let next = index + 1 < keys.count ? keys[index + 1] : upper
                found += try rows(under: below, from: keys[index], to: next, isRoot: false)
            }
            try check(found.first?.key == keys[0], "the first key below page \(page)")
        }
        for (left, right) in zip(found, found.dropFirst()) {
            try check(left.key.lexicographicallyPrecedes(right.key), "keys of page \(page) do not rise")
        }
        if let lower, let first = found.first {
            try check(!first.key.lexicographicallyPrecedes(lower), "page \(page) begins too low")
        }
        if let upper, let last = found.last {
            try check(last.key.lexicographicallyPrecedes(upper), "page \(page) ends too high")
        }
        return found
    }

    private func number<Integer: FixedWidthInteger>(_ bytes: [UInt8], _ offset: Int) -> Integer {
        (0..<Integer.bitWidth / 8).reversed().reduce(0) { $0 << 8 | Integer(bytes[offset + $1]) }
    }
}

extension TemporaryFile {
    /// Everything in the file.
    func content() throws -> [UInt8] { try read(byteCount, at: 0) }
}
