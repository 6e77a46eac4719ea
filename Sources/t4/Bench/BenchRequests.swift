import T4Core

/// The keys of a benchmark: a fixed prefix and eight digits.
struct BenchKeys {
    static let prefix = "t4-bench/"
    static let digits = 8
    /// Shortest key that can be asked for.
    static let sizeMin = prefix.utf8.count + digits

    /// Number of keys, 1 ... 100,000,000.
    var count: Int
    /// Bytes of each key.
    var size: Int

    /// The key of an index; the index may be `count`, for the end of a range.
    func key(_ index: Int) -> [UInt8] {
        var key = Array(Self.prefix.utf8)
        key += [UInt8](repeating: UInt8(ascii: "k"), count: size - Self.sizeMin)
        key += [UInt8](repeating: 0, count: Self.digits)
        Self.write(index, into: &key, at: size - Self.digits)
        return key
    }

    /// Writes the digits of an index.
    @inline(__always)
    static func write(_ index: Int, into bytes: inout [UInt8], at offset: Int) {
        var rest = UInt32(truncatingIfNeeded: index)
        var position = offset &+ digits
        while position > offset {
            position &-= 1
            bytes[position] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
    }
}

/// Encoded requests in which only the key's digits change from call to call.
struct BenchRequests {
    let keys: BenchKeys
    private let putTemplate: Template
    private let getTemplate: Template
    private let serializableGetTemplate: Template
    private let listTemplate: Template

    /// Where in a value the tag of a put stands: see `put(_:tag:)`.
    static let tagSize = 8

    init(keys: BenchKeys, valueSize: Int) {
        self.keys = keys
        let key = keys.key(0)
        // Bytes as they come, so that nothing on the way compresses them to nothing.
        var random = SplitMix64(seed: 1)
        let value = (0..<valueSize).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let digits = keys.size - BenchKeys.digits

        var put = Template()
        put.append(key, field: 1, patchedAt: digits)
        put.append(value, field: 2, patchedAt: 0)
        putTemplate = put

        var get = Template()
        get.append(key, field: 1, patchedAt: digits)
        getTemplate = get
        get.append(true, field: 7)
        serializableGetTemplate = get

        var list = Template()
        list.append(key, field: 1, patchedAt: digits)
        list.append(key, field: 2, patchedAt: digits)
        listTemplate = list
    }

    /// A put. Values of at least `tagSize` bytes begin with the tag, lowest byte first.
    @inline(__always)
    func put(_ index: Int, tag: UInt64) -> [UInt8] {
        var bytes = putTemplate.bytes
        BenchKeys.write(index, into: &bytes, at: putTemplate.patches[0])
        let offset = putTemplate.patches[1]
        guard bytes.count - offset >= Self.tagSize else { return bytes }
        for byte in 0..<Self.tagSize {
            bytes[offset &+ byte] = UInt8(truncatingIfNeeded: tag &>> UInt64(8 &* byte))
        }
        return bytes
    }

    /// A transaction that puts keys.
    func load(_ indices: Range<Int>) -> [UInt8] {
        var transaction = Template()
        for index in indices {
            var operation = Template()
            operation.append(put(index, tag: UInt64(index) + 1), field: 2)
            transaction.append(operation.bytes, field: 2)
        }
        return transaction.bytes
    }

    /// A linearizable or serializable read of one key.
    @inline(__always)
    func get(_ index: Int, serializable: Bool) -> [UInt8] {
        var bytes = serializable ? serializableGetTemplate.bytes : getTemplate.bytes
        BenchKeys.write(index, into: &bytes, at: getTemplate.patches[0])
        return bytes
    }

    /// A linearizable read of `count` keys.
    @inline(__always)
    func list(_ index: Int, count: Int) -> [UInt8] {
        var bytes = listTemplate.bytes
        BenchKeys.write(index, into: &bytes, at: listTemplate.patches[0])
        BenchKeys.write(index &+ count, into: &bytes, at: listTemplate.patches[1])
        return bytes
    }

    /// A count of all keys.
    func countAll() -> [UInt8] {
        var request = Template()
        request.append(keys.key(0), field: 1)
        request.append(keys.key(keys.count), field: 2)
        request.append(true, field: 9)
        return request.bytes
    }

    /// A `WatchRequest` that creates a watch of all keys.
    /// - Parameter revision: The first to send; nil for what comes after now.
    func watchAll(from revision: Int64? = nil) -> [UInt8] {
        var creation = Template()
        creation.append(keys.key(0), field: 1)
        creation.append(keys.key(keys.count), field: 2)
        if let revision { creation.append(revision, field: 3) }
        var request = Template()
        request.append(creation.bytes, field: 1)
        return request.bytes
    }

    /// A `WatchRequest` that creates a watch of a key that no workload writes.
    func watchUnwritten(_ index: Int) -> [UInt8] {
        var creation = Template()
        creation.append(keys.key(keys.count + index), field: 1)
        var request = Template()
        request.append(creation.bytes, field: 1)
        return request.bytes
    }

    /// A compaction that is answered once everything is removed.
    func compact(to revision: Int64) -> [UInt8] {
        var request = Template()
        request.append(revision, field: 1)
        request.append(true, field: 2)
        return request.bytes
    }

    /// A message and the places in it that change.
    private struct Template {
        var bytes: [UInt8] = []
        var patches: [Int] = []

        mutating func append(_ value: [UInt8], field: UInt8, patchedAt patch: Int? = nil) {
            bytes.append(field << 3 | 2)
            append(UInt64(value.count))
            if let patch { patches.append(bytes.count + patch) }
            bytes += value
        }

        mutating func append(_ value: Bool, field: UInt8) {
            bytes += [field << 3, value ? 1 : 0]
        }

        mutating func append(_ value: Int64, field: UInt8) {
            bytes.append(field << 3)
            append(UInt64(bitPattern: value))
        }

        private mutating func append(_ value: UInt64) {
            var rest = value
            while rest >= 0x80 {
                bytes.append(UInt8(rest & 0x7F) | 0x80)
                rest >>= 7
            }
            bytes.append(UInt8(rest))
        }
    }
}
