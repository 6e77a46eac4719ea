import T4Core

/// A bbolt file that another program has written, read a page at a time; see `BoltFile` for the format.
///
/// Nothing in the file is believed: numbers of pages, counts, places and sizes are compared with what there is before they
/// are used, a page may be reached once only, and keys must rise. So any bytes give rows or a `Failure`.
struct BoltDatabase: Sendable {
    /// What is wrong with a file.
    struct Failure: Error, CustomStringConvertible {
        var description: String

        init(_ description: String) { self.description = description }
    }

    /// Sizes of pages that bbolt makes: the page of the operating system it runs on.
    private static let pageSizes = (10...16).map { 1 << $0 }
    /// Bytes of a page with those that continue it: several times the largest row of an etcd.
    private static let pageBytesMax: UInt64 = 256 << 20

    private let file: any LogFile
    let pageSize: Int
    /// Pages below this number may be in use.
    let pageCount: UInt64
    private let root: UInt64

    /// What one of the first two pages says.
    private struct Meta {
        var pageSize: Int
        var root: UInt64
        var pageCount: UInt64
        var transaction: UInt64
    }

    /// Reads the first two pages and takes the newer of those that are whole.
    /// - Parameter byteCount: Bytes of the database; what the file has behind them is not read.
    init(_ file: any LogFile, byteCount: UInt64) throws {
        self.file = file
        let first = try BoltDatabase.meta(file, at: 0, byteCount)
        // The second one lies a page behind the first, which says how large a page is, if it is whole.
        let offsets = first.map { [$0.pageSize] } ?? BoltDatabase.pageSizes
        let others = try offsets.compactMap { offset in
            try BoltDatabase.meta(file, at: offset, byteCount).flatMap { $0.pageSize == offset ? $0 : nil }
        }
        guard let meta = ([first].compactMap { $0 } + others).max(by: { $0.transaction < $1.transaction }) else {
            throw Failure("this is no database of bbolt: neither of its first two pages is whole")
        }
        guard meta.pageCount <= byteCount / UInt64(meta.pageSize) else {
            throw Failure(
                "the file is cut off: it has \(byteCount) bytes of \(meta.pageCount) pages of \(meta.pageSize) bytes")
        }
        pageSize = meta.pageSize
        pageCount = meta.pageCount
        root = meta.root
    }

    /// Nil where there is no meta page that is whole.
    private static func meta(_ file: any LogFile, at offset: Int, _ byteCount: UInt64) throws -> Meta? {
        let count = BoltFile.headerBytes + BoltFile.metaBytes
        guard UInt64(offset + count) <= byteCount else { return nil }
        let bytes = try file.read(count, at: UInt64(offset))
        guard bytes.count == count else { return nil }
        let meta = BoltFile.headerBytes
        let pageSize = Int(bytes.littleEndian(at: meta + 8) as UInt32)
        let flags: UInt16 = bytes.littleEndian(at: 8)
        guard flags & BoltFile.PageKind.meta.rawValue != 0,
            BoltFile.isMeta(Array(bytes[meta...])), pageSizes.contains(pageSize)
        else { return nil }
        return Meta(
            pageSize: pageSize, root: bytes.littleEndian(at: meta + 16), pageCount: bytes.littleEndian(at: meta + 40),
            transaction: bytes.littleEndian(at: meta + 48))
    }

    /// The rows of a bucket, and of the root bucket, which names the others.
    struct Bucket: Sendable {
        fileprivate enum Place: Sendable {
            /// The root of its tree.
            case page(UInt64)
            /// A small bucket lies whole where others are named.
            case inline(BoltPage)
        }

        fileprivate var place: Place
    }

    /// The buckets of these names that there are.
    func buckets(named names: Set<String>) throws -> [String: Bucket] {
        var found: [String: Bucket] = [:]
        var cursor = try cursor(Bucket(place: .page(root)))
        while let element = try cursor.nextElement() {
            guard element.isBucket else { continue }
            let name = String(decoding: element.key, as: UTF8.self)
            guard names.contains(name) else { continue }
            guard element.value.count >= BoltFile.headerBytes else {
                throw Failure("the bucket \(name) is named with \(element.value.count) bytes")
            }
            let page: UInt64 = Array(element.value.prefix(8)).littleEndian(at: 0)
            if page == 0 {
                let bytes = Array(element.value.dropFirst(BoltFile.headerBytes))
                found[name] = Bucket(place: .inline(try BoltPage(bytes, name: "the bucket \(name)")))
            } else {
                found[name] = Bucket(place: .page(page))
            }
        }
        return found
    }

    /// Reads a bucket from its first row on.
    func cursor(_ bucket: Bucket) throws -> BoltCursor {
        var cursor = BoltCursor(self)
        switch bucket.place {
        case .page(let number): try cursor.enter(number)
        case .inline(let page): cursor.enter(page)
        }
        return cursor
    }

    /// The key of a bucket's last row, without reading those before it; nil where there is none.
    func lastKey(of bucket: Bucket) throws -> [UInt8]? {
        var cursor = try cursor(bucket)
        return try cursor.takeLastKey()
    }

    /// A page with those that continue it, and the number of these.
    fileprivate func page(_ number: UInt64) throws -> (page: BoltPage, overflow: UInt64) {
        guard number >= 2, number < pageCount else {
            throw Failure("page \(number) is named, of \(pageCount) pages")
        }
        let name = "page \(number)"
        var bytes = try read(pageSize, at: number, name)
        let overflow = UInt64(bytes.littleEndian(at: 12) as UInt32)
        guard bytes.littleEndian(at: 0) as UInt64 == number else {
            throw Failure("\(name) says that it is another one")
        }
        guard overflow < pageCount - number, (overflow + 1) * UInt64(pageSize) <= BoltDatabase.pageBytesMax else {
            throw Failure("\(name) goes on behind the end of the file, or is larger than any row")
        }
        if overflow > 0 { bytes = try read((Int(overflow) + 1) * pageSize, at: number, name) }
        return (try BoltPage(bytes, name: name), overflow)
    }

    private func read(_ count: Int, at number: UInt64, _ name: String) throws -> [UInt8] {
        let bytes = try file.read(count, at: number * UInt64(pageSize))
        guard bytes.count == count else { throw Failure("\(name) cannot be read whole: the file became shorter") }
        return bytes
    }
}

/// Goes through the rows of a bucket in the order of their keys.
struct BoltCursor {
    /// bbolt's trees have two elements in each branch at least, so that a deeper one would need more pages than numbers.
    private static let depthMax = 64

    /// Where a page on the way down stands.
    private struct Level {
        var page: BoltPage
        var next = 0
    }

    private let database: BoltDatabase
    private var levels: [Level] = []
    private var seen: PageSet
    private var lastKey: [UInt8]?

    fileprivate init(_ database: BoltDatabase) {
        self.database = database
        seen = PageSet(count: database.pageCount)
    }

    fileprivate mutating func enter(_ number: UInt64) throws {
        guard levels.count < BoltCursor.depthMax else {
            throw BoltDatabase.Failure("page \(number) lies deeper than any tree is")
        }
        let (page, overflow) = try database.page(number)
        for part in number...number + overflow {
            guard seen.insert(part) else { throw BoltDatabase.Failure("page \(part) is used twice") }
        }
        enter(page)
    }

    fileprivate mutating func enter(_ page: BoltPage) { levels.append(Level(page: page)) }

    /// The key of the last row under the page where the cursor stands.
    fileprivate mutating func takeLastKey() throws -> [UInt8]? {
        while let page = levels.last?.page, page.count > 0 {
            if page.isLeaf { return page.element(page.count - 1).key }
            try enter(page.child(page.count - 1))
        }
        return nil
    }

    /// The next row; nil at the end.
    mutating func next() throws -> BoltPage.Element? {
        guard let element = try nextElement() else { return nil }
        guard !element.isBucket else { throw BoltDatabase.Failure("a bucket lies where only rows are") }
        return element
    }

    /// The next row or bucket; nil at the end.
    fileprivate mutating func nextElement() throws -> BoltPage.Element? {
        while let level = levels.last {
            guard level.next < level.page.count else {
                levels.removeLast()
                continue
            }
            levels[levels.count - 1].next += 1
            guard level.page.isLeaf else {
                try enter(level.page.child(level.next))
                continue
            }
            let element = level.page.element(level.next)
            if let lastKey, !lastKey.precedes(element.key.span.bytes) {
                throw BoltDatabase.Failure("keys do not rise")
            }
            lastKey = element.key
            return element
        }
        return nil
    }
}

/// Pages that have been read.
private struct PageSet {
    private var words: [UInt64]

    /// - Parameter count: Not more than there are pages in a file.
    init(count: UInt64) { words = [UInt64](repeating: 0, count: Int(count / 64) + 1) }

    /// - Returns: False when the page was there already.
    mutating func insert(_ page: UInt64) -> Bool {
        let (word, bit) = (Int(page / 64), UInt64(1) << (page % 64))
        defer { words[word] |= bit }
        return words[word] & bit == 0
    }
}
