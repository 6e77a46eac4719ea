package import T4Protocols

extension StateReader {
    /// Number of keys that exist in a range now. Copies nothing and reads no values.
    ///
    /// The meta row tells how many keys there are in all, so it is enough to count the keys of the range or all others,
    /// whichever are fewer: all keys, or all but a few, cost next to nothing. Keys of other ranges cost an eighth more
    /// than `countLatest`.
    package func keyCount(in range: KeyRange) throws(EngineError) -> Int64 {
        var inside = KeyTally(range)
        var outside = KeyTally(complementOf: range)
        var portion = 1024
        while true {
            try inside.count(atMost: portion, in: self)
            if inside.isComplete { return inside.count }
            try outside.count(atMost: portion / 8, in: self)
            if outside.isComplete { return Int64(clamping: meta.keys) - outside.count }
            portion *= 2
        }
    }
}

/// A count of keys that is made in portions.
private struct KeyTally {
    /// Keys found so far.
    private(set) var count: Int64 = 0
    /// Where the others are.
    private var rest: [KeyRange]

    init(_ range: KeyRange) { rest = [range] }

    init(complementOf range: KeyRange) {
        rest = range.lower.isEmpty ? [] : [KeyRange(lower: [], upper: range.lower)]
        if let upper = range.upper { rest.append(KeyRange(lower: upper, upper: nil)) }
    }

    var isComplete: Bool { rest.isEmpty }

    /// Goes on until so many more keys are found, or all.
    mutating func count(atMost limit: Int, in reader: StateReader) throws(EngineError) {
        var left = limit
        while let range = rest.last {
            var next: [UInt8]?
            try reader.forEachLatest(in: range) { key, _ in
                if left == 0 {
                    next = key.copyBytes()
                    return .stop
                }
                left -= 1
                return .next
            }
            guard let next else {
                rest.removeLast()
                continue
            }
            rest[rest.count - 1].lower = next
            break
        }
        count += Int64(limit - left)
    }
}
