import T4Protocols

/// What an engine must hold: a sorted array.
struct Model {
    private(set) var rows: [Row] = []

    init() {}

    /// The rows in any order; each key once.
    init(_ rows: [Row]) { self.rows = rows.sorted { precedes($0.key, $1.key) } }

    mutating func put(_ key: [UInt8], _ value: [UInt8]) {
        let index = position(key)
        if index < rows.count, isEqual(rows[index].key, key) {
            rows[index].value = value
        } else {
            rows.insert(Row(key: key, value: value), at: index)
        }
    }

    mutating func delete(_ key: [UInt8]) {
        let index = position(key)
        if index < rows.count, isEqual(rows[index].key, key) { rows.remove(at: index) }
    }

    func value(_ key: [UInt8]) -> [UInt8]? {
        let index = position(key)
        return index < rows.count && isEqual(rows[index].key, key) ? rows[index].value : nil
    }

    func rows(_ range: KeyRange, _ order: ScanOrder, limit: Int = .max) -> [Row] {
        let first = position(range.lower)
        let end = range.upper.map(position) ?? rows.count
        guard first < end else { return [] }
        return order == .ascending
            ? Array(rows[first..<end].prefix(limit)) : Array(rows[first..<end].reversed().prefix(limit))
    }

    private func position(_ key: [UInt8]) -> Int {
        var low = 0
        var high = rows.count
        while low < high {
            let middle = (low + high) / 2
            if precedes(rows[middle].key, key) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// Numbers that depend on nothing but the seed (SplitMix64).
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// Random bytes.
    mutating func bytes(_ size: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: size + 7) { buffer, count in
            let bytes = UnsafeMutableRawBufferPointer(buffer)
            for offset in stride(from: 0, to: size, by: 8) {
                bytes.storeBytes(of: next(), toByteOffset: offset, as: UInt64.self)
            }
            count = size
        }
    }
}
