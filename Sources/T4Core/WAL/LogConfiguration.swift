/// Sizes of the local log.
package struct LogConfiguration: Hashable, Sendable {
    /// A segment is sealed before it grows beyond this, unless a single entry is larger; bytes, 64 KiB or more.
    package var segmentSizeMax = 50 << 20
    /// Zeros that are written ahead of use at least, in bytes; the most a start waits for.
    package var preallocationSizeMin = 1 << 20
    /// Free bytes on disk that `hasRoom` leaves untouched, for the engine and for what is under way.
    package var freeSizeMin = 64 << 20
    /// Recent entries that are kept in memory for followers, in bytes, each counted with its body and 96 more; with 0 none
    /// is, which suits a node without followers.
    package var recentSizeMax = 0
    /// Prepares the next segment on a thread of its own; if false, when it is needed.
    package var preparesInBackground = true

    /// The defaults.
    package init() {}

    /// Size up to which a segment that holds `used` bytes is filled with zeros.
    func filledSize(atLeast used: UInt64) -> UInt64 {
        let step = UInt64(max(preallocationSizeMin, 1))
        return max(used, min((used / step + 1) * step, UInt64(segmentSizeMax)))
    }

    /// Size to prepare for the segment after one that was filled up to `filled` and is used up to `used`.
    ///
    /// Grows fourfold while segments fill up, and shrinks where they are sealed by age: a log with little traffic must
    /// not write a whole segment of zeros for each few entries.
    func preparedSize(afterUsing used: UInt64, of filled: UInt64) -> UInt64 {
        let wanted = used >= filled / 2 ? max(filled, used) * 4 : used * 2
        return min(max(wanted, UInt64(preallocationSizeMin)), UInt64(segmentSizeMax))
    }
}
