import T4Core

/// Writes a bbolt file in one pass, but for its first pages, which name the last one.
///
/// Buckets come one after the other, in rising order of their names, each with its rows in rising order of their keys.
/// Their trees are built from the leaves up, so that memory holds one page for each level.
struct BoltFileWriter: ~Copyable {
    private var pages: BoltPages
    private var root = BoltTree()
    private var bucket = BoltTree()

    /// Starts a file in the place of an empty one.
    init(_ file: consuming TemporaryFile) throws {
        pages = try BoltPages(file)
    }

    /// Adds a row to the bucket under way.
    mutating func add(key: RawSpan, value: RawSpan) throws {
        try bucket.add(key: key, value: value, flags: 0, to: &pages)
    }

    /// Ends the bucket under way, which may be empty, and names it.
    mutating func endBucket(_ name: String) throws {
        let value = BoltFile.bucket(root: try bucket.finish(to: &pages))
        bucket = BoltTree()
        let key = Array(name.utf8)
        try root.add(key: key.span.bytes, value: value.span.bytes, flags: BoltFile.bucketFlag, to: &pages)
    }

    /// Ends the file.
    consuming func finish() throws -> TemporaryFile {
        let rootPage = try root.finish(to: &pages)
        return try pages.finish(root: rootPage)
    }
}

/// The pages of a file under construction, one behind the other.
private struct BoltPages: ~Copyable {
    private var file: TemporaryFile
    private var next = BoltFile.firstPage

    init(_ file: consuming TemporaryFile) throws {
        precondition(file.byteCount == 0, "a bbolt file starts at the beginning")
        self.file = file
        // Room for the first pages; their content is known at the end.
        let room = [UInt8](repeating: 0, count: Int(BoltFile.firstPage) * BoltFile.pageBytes)
        try self.file.append(room.span.bytes)
    }

    /// Writes a page.
    /// - Returns: Its number.
    mutating func put(_ page: BoltPageBuilder.Page) throws -> UInt64 {
        let number = next
        try file.append(page.encoded(as: number).span.bytes)
        next += UInt64(page.pageCount)
        return number
    }

    consuming func finish(root: UInt64) throws -> TemporaryFile {
        try file.flush()
        precondition(file.byteCount == Int(next) * BoltFile.pageBytes, "a bbolt file has whole pages")
        try file.overwrite(BoltFile.firstPages(root: root, pages: next).span.bytes, at: 0)
        return file
    }
}

/// The tree of one bucket under construction.
private struct BoltTree {
    /// A page for each level, leaves first.
    private var levels = [BoltPageBuilder(.leaf)]
    private var lastKey: [UInt8] = []

    mutating func add(key: RawSpan, value: RawSpan, flags: UInt32, to pages: inout BoltPages) throws {
        precondition(lastKey.precedes(key), "keys of a bbolt file must rise")
        lastKey = key.copyBytes()
        if let full = levels[0].add(key: key, value: value, flags: flags) { try put(full, level: 0, to: &pages) }
    }

    /// Writes all that is left.
    /// - Returns: The tree's root page.
    mutating func finish(to pages: inout BoltPages) throws -> UInt64 {
        var level = 0
        // Each level but the last has elements left, and what it hands up may make one more.
        while level < levels.count - 1 {
            try put(levels[level].finish(), level: level, to: &pages)
            level += 1
        }
        return try pages.put(levels[level].finish())
    }

    /// Writes a page and enters it in the branch above.
    private mutating func put(_ page: BoltPageBuilder.Page, level: Int, to pages: inout BoltPages) throws {
        let number = try pages.put(page)
        if levels.count == level + 1 { levels.append(BoltPageBuilder(.branch)) }
        if let full = levels[level + 1].add(key: page.firstKey.span.bytes, page: number) {
            try put(full, level: level + 1, to: &pages)
        }
    }
}
