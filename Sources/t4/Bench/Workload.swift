/// What is measured, as it is named on the command line.
///
/// `put-16x4` are puts over 16 connections with 4 calls in flight on each; `put-16` leaves out the `x1`, `put-seq` is
/// one call after the other. `watch-1000` has 1,000 watchers. `put-16+compact` are puts while history is compacted.
struct Workload: Hashable, CustomStringConvertible {
    enum Kind: String, CaseIterable {
        /// Every key is written once, in order; it ends when all are there.
        case fill
        /// The same, `loadCount` keys in a transaction; an operation is a transaction.
        case load
        /// Writes to random keys that exist.
        case put
        /// Linearizable reads of one key, what etcd's clients do unless told otherwise.
        case get
        /// Serializable reads of one key.
        case getSerializable = "get-serializable"
        /// Linearizable reads of 100 neighbouring keys.
        case list = "list-100"
        /// Counts of all keys, linearizable.
        case count
        /// As many puts as gets, in random order.
        case mixed
        /// Watchers of all keys; an operation is an event that reached a watcher.
        case watch
        /// Watchers of all keys that begin with revision 1; it ends when each has the newest. Fails after a compaction.
        case replay

        /// It ends when its work is done, not after a time.
        var hasEnd: Bool { writesKeys || self == .replay }
        /// It writes every key.
        var writesKeys: Bool { self == .fill || self == .load }
    }

    /// What goes on while a workload is measured.
    enum Companion: String, CaseIterable {
        /// History is compacted up to the newest revision, until the server says that it is removed. That long is measured.
        case compact
        /// A watcher of all keys begins with revision 1. It is measured until that has the newest.
        case replay
        /// There are watchers of keys that nobody writes, one of each.
        case watches
    }

    /// Keys that one list reads.
    static let listCount = 100
    /// Keys that one transaction of `load` writes: as many as etcd allows unless told otherwise.
    static let loadCount = 128

    var name: String
    var kind: Kind
    /// Connections that calls are made on.
    var connections: Int
    /// Calls in flight on each connection.
    var streams: Int
    /// Watchers, for `watch` and `replay`.
    var watchers = 0
    var companion: Companion?

    var description: String { name }

    /// Reads a name; nil if it names nothing.
    init?(_ name: String) {
        self.name = name
        let parts = name.split(separator: "+", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        if parts.count > 1 {
            guard let companion = Companion(rawValue: String(parts[1])) else { return nil }
            self.companion = companion
        }
        guard let kind = Kind.allCases.filter({ Self.rest(of: name, after: $0) != nil }).max(by: Self.isShorter),
            let rest = Self.rest(of: name, after: kind)
        else { return nil }
        self.kind = kind
        if companion != nil, kind.hasEnd { return nil }
        if kind == .watch || kind == .replay {
            guard let watchers = Int(rest), (1...100_000).contains(watchers) else { return nil }
            self.watchers = watchers
            connections = min(watchers, 16)
            streams = 1
            return
        }
        switch rest {
        case "seq": (connections, streams) = (1, 1)
        case "": (connections, streams) = (16, kind == .fill ? 16 : 1)
        default:
            let numbers = rest.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
            guard numbers.count <= 2, numbers.allSatisfy({ (1...10_000).contains($0) }) else { return nil }
            connections = numbers[0]
            streams = numbers.count == 2 ? numbers[1] : 1
        }
    }

    /// What stands behind the kind and its hyphen; empty if the name ends there, nil if it begins otherwise.
    private static func rest(of name: String, after kind: Kind) -> Substring? {
        guard name.hasPrefix(kind.rawValue) else { return nil }
        let rest = name.dropFirst(kind.rawValue.count)
        return rest.isEmpty ? rest : rest.first == "-" ? rest.dropFirst() : nil
    }

    private static func isShorter(_ one: Kind, _ other: Kind) -> Bool { one.rawValue.count < other.rawValue.count }

    /// What `t4 bench` runs unless told otherwise.
    static let standard = [
        "put-seq", "put-16", "put-256", "put-16x16", "get-seq", "get-16", "get-16x16", "get-serializable-16",
        "list-100",
        "mixed-16", "watch-1", "watch-1000",
    ]
}
