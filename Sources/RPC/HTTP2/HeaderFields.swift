import CNGHTTP2

/// Header fields for nghttp2 in memory of their own that outlives all sessions, so that nothing is copied per call.
struct StaticHeaderFields: @unchecked Sendable {
    // Unchecked: never written after init.
    let fields: UnsafeMutableBufferPointer<nghttp2_nv>

    init(_ pairs: [(String, String)]) {
        fields = .allocate(capacity: pairs.count)
        for (index, pair) in pairs.enumerated() {
            let name = Self.leak(Array(pair.0.utf8))
            let value = Self.leak(Array(pair.1.utf8))
            let flags = NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue
            fields.initializeElement(
                at: index,
                to: nghttp2_nv(
                    name: name.baseAddress, value: value.baseAddress, namelen: name.count, valuelen: value.count,
                    flags: UInt8(flags)))
        }
    }

    /// Frees the memory, for fields that do not live as long as the process. nghttp2 must not use them any more.
    func free() {
        for field in fields {
            field.name.deallocate()
            field.value.deallocate()
        }
        fields.deallocate()
    }

    private static func leak(_ bytes: [UInt8]) -> UnsafeMutableBufferPointer<UInt8> {
        let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(bytes.count, 1))
        _ = memory.initialize(from: bytes)
        return UnsafeMutableBufferPointer(rebasing: memory[..<bytes.count])
    }
}

/// Header fields made for one message; nghttp2 copies them.
struct HeaderFields {
    private var bytes: [UInt8] = []
    private var fields: [(name: Range<Int>, value: Range<Int>, flags: UInt8)] = []

    var isEmpty: Bool { fields.isEmpty }

    mutating func append(_ name: some Collection<UInt8>, _ value: some Collection<UInt8>, indexed: Bool = true) {
        let start = bytes.count
        bytes.append(contentsOf: name)
        let middle = bytes.count
        bytes.append(contentsOf: value)
        let flags = indexed ? NGHTTP2_NV_FLAG_NONE.rawValue : NGHTTP2_NV_FLAG_NO_INDEX.rawValue
        fields.append((start..<middle, middle..<bytes.count, UInt8(flags)))
    }

    mutating func append(_ name: String, _ value: String) { append(name.utf8, value.utf8) }

    /// Lends `first` and then these fields to `body`; nghttp2 has copied what it must when a submit function returns.
    mutating func withFields<Result>(
        after first: StaticHeaderFields? = nil, _ body: (UnsafePointer<nghttp2_nv>, Int) -> Result
    ) -> Result {
        bytes.withUnsafeMutableBufferPointer { memory in
            // There is at least one field, so there is an address.
            let base = memory.baseAddress!
            var list = first.map { Array($0.fields) } ?? []
            for field in fields {
                list.append(
                    nghttp2_nv(
                        name: base + field.name.lowerBound, value: base + field.value.lowerBound,
                        namelen: field.name.count, valuelen: field.value.count, flags: field.flags))
            }
            return list.withUnsafeBufferPointer { body($0.baseAddress!, $0.count) }
        }
    }
}
