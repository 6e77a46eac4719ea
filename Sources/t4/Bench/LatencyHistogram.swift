/// Counts of latencies in buckets whose width grows with the latency.
///
/// Every power of two is divided into 128 buckets, so a percentile is at most 0.8 % above the true one.
struct LatencyHistogram {
    /// Latencies recorded.
    private(set) var count: UInt64 = 0
    /// The largest one, exact, in nanoseconds.
    private(set) var max: UInt64 = 0
    private var buckets: [UInt64]

    private static let precisionBits = 7
    private static let bucketsPerOctave = 1 << precisionBits

    init() {
        buckets = [UInt64](repeating: 0, count: (64 - Self.precisionBits + 1) * Self.bucketsPerOctave)
    }

    /// Adds a latency in nanoseconds.
    @inline(__always)
    mutating func record(_ nanoseconds: UInt64) {
        buckets[Self.bucket(of: nanoseconds)] &+= 1
        count &+= 1
        if nanoseconds > max { max = nanoseconds }
    }

    /// Adds everything that another histogram holds.
    mutating func add(_ other: LatencyHistogram) {
        for index in buckets.indices { buckets[index] += other.buckets[index] }
        count += other.count
        max = Swift.max(max, other.max)
    }

    /// The latency in nanoseconds that a share of the recorded ones does not exceed; 0 if there are none.
    /// - Parameter share: 0 ... 1; 0.99 for p99.
    func percentile(_ share: Double) -> UInt64 {
        guard count > 0 else { return 0 }
        let rank = Swift.max(1, UInt64((share * Double(count)).rounded(.up)))
        var seen: UInt64 = 0
        for (index, found) in buckets.enumerated() {
            seen += found
            if seen >= rank { return Swift.min(Self.upperBound(ofBucket: index), max) }
        }
        return max
    }

    @inline(__always)
    private static func bucket(of value: UInt64) -> Int {
        // Below 128 a bucket is one nanosecond wide; above, `value >> shift` lies in 128 ..< 256.
        guard value >= UInt64(bucketsPerOctave) else { return Int(value) }
        let shift = 63 &- value.leadingZeroBitCount &- precisionBits
        return (shift &* bucketsPerOctave) &+ Int(value &>> UInt64(shift))
    }

    private static func upperBound(ofBucket index: Int) -> UInt64 {
        guard index >= 2 * bucketsPerOctave else { return UInt64(index) }
        let shift = UInt64(index / bucketsPerOctave - 1)
        let top = UInt64(index % bucketsPerOctave + bucketsPerOctave)
        return (top << shift) + ((1 << shift) - 1)
    }
}
