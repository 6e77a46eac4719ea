import Synchronization

/// Holds the streams that are open on all loops against their limit; one for each loop, confined to it.
///
/// To read the counters of the other loops for every call would have the cores hand them to each other all the time. So
/// it is done for one call in 64, unless the limit is near: then for each.
struct OpenStreams {
    private static let interval = 64

    /// Streams open on the other loops, as last counted.
    private var elsewhere = 0
    private var callsUntilCounted = 0

    /// To be asked for each call that begins, after it was counted.
    /// - Parameters:
    ///   - own: The counters of this loop.
    ///   - all: The counters of all loops, this one included.
    mutating func areOver(_ limit: Int, own: LoopCounters, all: [LoopCounters]) -> Bool {
        let here = own.streamsOpen.load(ordering: .relaxed)
        callsUntilCounted -= 1
        if callsUntilCounted < 0 || here + elsewhere > limit - limit / 8 - 1024 {
            callsUntilCounted = Self.interval
            elsewhere = all.reduce(0) { $0 + $1.streamsOpen.load(ordering: .relaxed) } - here
        }
        return here + elsewhere > limit
    }
}
