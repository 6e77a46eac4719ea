/// A set of keys, as ranges that neither overlap nor touch, in order.
package struct KeyIntervals: Hashable, Sendable {
    private struct Interval: Hashable {
        var lower: [UInt8]
        /// Nil: no end.
        var upper: [UInt8]?
    }

    private var intervals: [Interval] = []

    package init(_ permissions: [AuthPermission]) {
        let sorted = permissions.map { permission in
            switch permission.rangeEnd {
            case []: Interval(lower: permission.key, upper: permission.key + [0])
            case [0]: Interval(lower: permission.key, upper: nil)
            default: Interval(lower: permission.key, upper: permission.rangeEnd)
            }
        }.sorted { $0.lower.lexicographicallyPrecedes($1.lower) }
        for interval in sorted {
            guard let last = intervals.last else {
                intervals.append(interval)
                continue
            }
            guard let end = last.upper else { break }
            if end.lexicographicallyPrecedes(interval.lower) {
                intervals.append(interval)
            } else if interval.upper.map({ end.lexicographicallyPrecedes($0) }) ?? true {
                intervals[intervals.count - 1].upper = interval.upper
            }
        }
    }

    package func contains(_ key: [UInt8]) -> Bool {
        guard let interval = lastInterval(startingAtOrBefore: key) else { return false }
        return interval.upper.map { key.lexicographicallyPrecedes($0) } ?? true
    }

    /// Whether every key of the range is in. Of a range that ends before it begins, its first key, as in etcd.
    package func contains(_ key: [UInt8], to rangeEnd: [UInt8]) -> Bool {
        let isOpen = rangeEnd == [0]
        guard isOpen || key.lexicographicallyPrecedes(rangeEnd) else { return contains(key) }
        guard let interval = lastInterval(startingAtOrBefore: key) else { return false }
        guard let upper = interval.upper else { return true }
        return !isOpen && !upper.lexicographicallyPrecedes(rangeEnd)
    }

    private func lastInterval(startingAtOrBefore key: [UInt8]) -> Interval? {
        var (low, high) = (0, intervals.count)
        while low < high {
            let middle = (low + high) / 2
            if key.lexicographicallyPrecedes(intervals[middle].lower) { high = middle } else { low = middle + 1 }
        }
        return low > 0 ? intervals[low - 1] : nil
    }
}
