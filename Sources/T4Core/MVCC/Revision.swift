/// etcd's MVCC counter: one per mutating request; an empty database stands at 1 and its first write makes 2.
public struct Revision: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The number as clients see it.
    public var rawValue: Int64

    /// The revision of a database without any write.
    public static let initial = Revision(1)
    /// No revision: of an entry that consumes none, of a key that does not exist.
    public static let none = Revision(0)

    /// Wraps a number as clients see it.
    public init(rawValue: Int64) { self.rawValue = rawValue }

    /// Wraps a number as clients see it.
    public init(_ rawValue: Int64) { self.rawValue = rawValue }

    /// The revision after this one.
    public var next: Revision { Revision(rawValue + 1) }

    /// Orders by number.
    public static func < (left: Revision, right: Revision) -> Bool { left.rawValue < right.rawValue }

    /// The number.
    public var description: String { String(rawValue) }
}
