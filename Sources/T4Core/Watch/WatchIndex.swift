/// Which synced watches a key concerns: a hash table for single keys, an interval tree for ranges.
struct WatchIndex {
    private var exact: [[UInt8]: WatchList] = [:]
    private var ranges = RangeTree()

    mutating func insert(_ watch: Watch) {
        let range = watch.filter.range
        if range.extent != .key {
            ranges.insert(watch)
        } else if let list = exact[range.key] {
            list.insert(watch)
        } else {
            let list = WatchList()
            list.insert(watch)
            exact[range.key] = list
        }
    }

    mutating func remove(_ watch: Watch) {
        let range = watch.filter.range
        if range.extent != .key {
            ranges.remove(watch)
        } else if let list = exact[range.key] {
            list.remove(watch)
            if list.watches.isEmpty { exact[range.key] = nil }
        }
    }

    /// Appends the watches whose range holds `key`, each once.
    func collect(_ key: [UInt8], into result: inout [Watch]) {
        if let list = exact[key] { result.append(contentsOf: list.watches) }
        ranges.collect(key, into: &result)
    }
}

/// Watches of one and the same range; constant cost to insert and to remove.
final class WatchList {
    private(set) var watches: [Watch] = []

    func insert(_ watch: Watch) {
        watch.slot = watches.count
        watches.append(watch)
    }

    func remove(_ watch: Watch) {
        let last = watches.removeLast()
        if last !== watch {
            watches[watch.slot] = last
            last.slot = watch.slot
        }
        watch.slot = -1
    }
}

/// A treap of ranges ordered by first key, then end; each node knows the greatest end below it.
///
/// Looking up a key costs O(matching ranges × log ranges), whatever the other ranges are.
struct RangeTree {
    private final class Node {
        let lower: [UInt8]
        /// Nil: to the end of the keys.
        let upper: [UInt8]?
        let priority: UInt64
        let list = WatchList()
        var left: Node?
        var right: Node?
        var greatestUpper: [UInt8]?

        init(lower: [UInt8], upper: [UInt8]?, priority: UInt64) {
            self.lower = lower
            self.upper = upper
            self.priority = priority
            greatestUpper = upper
        }

        func update() {
            greatestUpper = upper
            for child in [left, right] {
                if let child { greatestUpper = RangeTree.later(greatestUpper, child.greatestUpper) }
            }
        }
    }

    private var root: Node?
    private var randomState: UInt64 = 0x9E37_79B9_7F4A_7C15

    mutating func insert(_ watch: Watch) {
        let (lower, upper) = Self.bounds(watch)
        if let node = find(lower, upper) {
            node.list.insert(watch)
            return
        }
        randomState ^= randomState << 13
        randomState ^= randomState >> 7
        randomState ^= randomState << 17
        let node = Node(lower: lower, upper: upper, priority: randomState)
        node.list.insert(watch)
        root = Self.insert(node, into: root)
    }

    mutating func remove(_ watch: Watch) {
        let (lower, upper) = Self.bounds(watch)
        guard let node = find(lower, upper) else { return }
        node.list.remove(watch)
        if node.list.watches.isEmpty { root = Self.remove(lower, upper, from: root) }
    }

    func collect(_ key: [UInt8], into result: inout [Watch]) { Self.collect(key, in: root, into: &result) }

    private static func bounds(_ watch: Watch) -> (lower: [UInt8], upper: [UInt8]?) {
        let range = watch.filter.range
        guard case .before(let end) = range.extent else { return (range.key, nil) }
        return (range.key, end)
    }

    /// The later of two ends, nil being the last.
    private static func later(_ left: [UInt8]?, _ right: [UInt8]?) -> [UInt8]? {
        guard let left, let right else { return nil }
        return left.lexicographicallyPrecedes(right) ? right : left
    }

    private static func precedes(_ left: [UInt8], _ leftUpper: [UInt8]?, _ node: Node) -> Bool {
        if left != node.lower { return left.lexicographicallyPrecedes(node.lower) }
        guard let leftUpper else { return false }
        guard let upper = node.upper else { return true }
        return leftUpper.lexicographicallyPrecedes(upper)
    }

    private func find(_ lower: [UInt8], _ upper: [UInt8]?) -> Node? {
        var node = root
        while let current = node {
            if current.lower == lower, current.upper == upper { return current }
            node = Self.precedes(lower, upper, current) ? current.left : current.right
        }
        return nil
    }

    private static func collect(_ key: [UInt8], in node: Node?, into result: inout [Watch]) {
        guard let node else { return }
        if let greatest = node.greatestUpper, !key.lexicographicallyPrecedes(greatest) { return }
        collect(key, in: node.left, into: &result)
        guard !key.lexicographicallyPrecedes(node.lower) else { return }
        if node.upper.map({ key.lexicographicallyPrecedes($0) }) ?? true {
            result.append(contentsOf: node.list.watches)
        }
        collect(key, in: node.right, into: &result)
    }

    private static func insert(_ new: Node, into node: Node?) -> Node {
        guard let node else { return new }
        if new.priority > node.priority {
            (new.left, new.right) = split(node, at: new)
            new.update()
            return new
        }
        if precedes(new.lower, new.upper, node) {
            node.left = insert(new, into: node.left)
        } else {
            node.right = insert(new, into: node.right)
        }
        node.update()
        return node
    }

    /// The nodes before `pivot` and the nodes after it.
    private static func split(_ node: Node?, at pivot: Node) -> (Node?, Node?) {
        guard let node else { return (nil, nil) }
        if precedes(pivot.lower, pivot.upper, node) {
            let (before, after) = split(node.left, at: pivot)
            node.left = after
            node.update()
            return (before, node)
        }
        let (before, after) = split(node.right, at: pivot)
        node.right = before
        node.update()
        return (node, after)
    }

    private static func remove(_ lower: [UInt8], _ upper: [UInt8]?, from node: Node?) -> Node? {
        guard let node else { return nil }
        if node.lower == lower, node.upper == upper { return merge(node.left, node.right) }
        if precedes(lower, upper, node) {
            node.left = remove(lower, upper, from: node.left)
        } else {
            node.right = remove(lower, upper, from: node.right)
        }
        node.update()
        return node
    }

    private static func merge(_ left: Node?, _ right: Node?) -> Node? {
        guard let left else { return right }
        guard let right else { return left }
        if left.priority > right.priority {
            left.right = merge(left.right, right)
            left.update()
            return left
        }
        right.left = merge(left, right.left)
        right.update()
        return right
    }
}
