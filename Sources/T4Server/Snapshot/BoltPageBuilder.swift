/// Collects rising elements for one page of a bbolt file after the other.
///
/// Every page but the last gets at least two elements, as bbolt's own pages have, and the last one does too if there
/// are two at all. So at most the three largest elements are held beside what fits into one page.
struct BoltPageBuilder {
    fileprivate struct Element {
        var flags: UInt32
        var keyBytes: Int
        var valueBytes: Int
        /// Of a branch: the page below.
        var page: UInt64
    }

    /// A finished page, but for its number.
    struct Page {
        let kind: BoltFile.PageKind
        /// The first key.
        let firstKey: [UInt8]
        /// Pages that it takes.
        let pageCount: Int
        fileprivate let elements: ArraySlice<Element>
        fileprivate let data: ArraySlice<UInt8>
    }

    let kind: BoltFile.PageKind
    private var elements: [Element] = []
    private var data: [UInt8] = []
    /// Where the last element's bytes begin in `data`.
    private var lastStart = 0

    init(_ kind: BoltFile.PageKind) { self.kind = kind }

    /// Adds an element of a leaf.
    /// - Returns: The page before, if the element begins another one.
    mutating func add(key: RawSpan, value: RawSpan, flags: UInt32) -> Page? {
        precondition(key.byteCount > 0 && key.byteCount <= BoltFile.keyBytesMax, "a key of \(key.byteCount) bytes")
        return add(
            Element(flags: flags, keyBytes: key.byteCount, valueBytes: value.byteCount, page: 0), key: key, value: value
        )
    }

    /// Adds an element of a branch.
    /// - Returns: The page before, if the element begins another one.
    mutating func add(key: RawSpan, page: UInt64) -> Page? {
        add(Element(flags: 0, keyBytes: key.byteCount, valueBytes: 0, page: page), key: key, value: RawSpan())
    }

    private mutating func add(_ element: Element, key: RawSpan, value: RawSpan) -> Page? {
        let bytes = key.byteCount + value.byteCount
        let size = BoltPageBuilder.size(elements.count + 1, data.count + bytes)
        let full = elements.count >= 3 && size > BoltFile.pageBytes ? takeAllButLast() : nil
        lastStart = data.count
        elements.append(element)
        key.withUnsafeBytes { data.append(contentsOf: $0) }
        value.withUnsafeBytes { data.append(contentsOf: $0) }
        return full
    }

    /// The elements since the last page; the builder is empty then.
    mutating func finish() -> Page {
        defer {
            elements = []
            data = []
        }
        return page(elements[...], data[...])
    }

    private mutating func takeAllButLast() -> Page {
        let page = page(elements.dropLast(), data[..<lastStart])
        elements.removeFirst(elements.count - 1)
        data.removeFirst(lastStart)
        return page
    }

    private func page(_ elements: ArraySlice<Element>, _ data: ArraySlice<UInt8>) -> Page {
        let size = BoltPageBuilder.size(elements.count, data.count)
        return Page(
            kind: kind, firstKey: Array(data.prefix(elements.first?.keyBytes ?? 0)),
            pageCount: (size + BoltFile.pageBytes - 1) / BoltFile.pageBytes, elements: elements, data: data)
    }

    private static func size(_ count: Int, _ bytes: Int) -> Int {
        BoltFile.headerBytes + count * BoltFile.elementBytes + bytes
    }
}

extension BoltPageBuilder.Page {
    /// The page's bytes, whole pages of them.
    func encoded(as number: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(pageCount * BoltFile.pageBytes)
        BoltFile.appendHeader(kind, page: number, count: elements.count, overflow: pageCount - 1, to: &bytes)
        var distance = elements.count * BoltFile.elementBytes
        for element in elements {
            if kind == .leaf { bytes.append(littleEndian: element.flags) }
            bytes.append(littleEndian: UInt32(distance))
            bytes.append(littleEndian: UInt32(element.keyBytes))
            if kind == .leaf {
                bytes.append(littleEndian: UInt32(element.valueBytes))
            } else {
                bytes.append(littleEndian: element.page)
            }
            distance += element.keyBytes + element.valueBytes - BoltFile.elementBytes
        }
        bytes.append(contentsOf: data)
        bytes.fillPage()
        return bytes
    }
}
