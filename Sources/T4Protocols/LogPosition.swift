/// A place in the replicated log: the leadership number under which an entry was written, and its index.
///
/// Positions order by term first, then index. Every log is strictly rising in `index` and never falls in `term`.
public struct LogPosition: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Leadership number, strictly rising with each take-over; 0 before the first entry.
    public var term: UInt64
    /// Number of the entry, from 1 without gaps; 0 before the first entry.
    public var index: UInt64

    /// The position before the first entry of any log.
    public static let zero = LogPosition(term: 0, index: 0)

    /// Names a place in the log.
    public init(term: UInt64, index: UInt64) {
        self.term = term
        self.index = index
    }

    /// Orders by term, then index.
    public static func < (left: LogPosition, right: LogPosition) -> Bool {
        (left.term, left.index) < (right.term, right.index)
    }

    /// `term/index`, for messages.
    public var description: String { "\(term)/\(index)" }
}
