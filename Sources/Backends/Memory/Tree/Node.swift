import T4Protocols

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A node of the tree: a leaf of rows, or an inner node of separators with one child more.
///
/// Child `i` of an inner node holds the keys from separator `i - 1` (included) to separator `i` (excluded).
///
/// Beside each row lies its *head*: the 8 bytes that follow what all keys of the node have in common. A search compares
/// heads, which are next to each other in memory, and follows a pointer only where two heads are equal. Without heads
/// every step of the search is a cache miss.
///
/// Safe to share: a node is changed only by the batch whose `stamp` it carries, before that batch is published.
final class Node: @unchecked Sendable {
    /// Rows of a full node. Copying one retains each row, mostly a cache miss; a search wants few levels: 32 was the best
    /// compromise of 16, 32 and 64 (1 million rows, random keys).
    static let rowCountMax = 32
    /// Below this a node is merged with or filled from its neighbour.
    static let rowCountMin = 8

    /// Number of the batch that made the node and alone may change it.
    let stamp: UInt64
    private(set) var count: Int
    /// Leading bytes that all keys of the node have in common; never more than that, possibly fewer.
    private var prefixCount = 0
    private let rows: UnsafeMutablePointer<Row>
    private let heads: UnsafeMutablePointer<UInt64>
    /// Nil in a leaf, else `count + 1` nodes.
    private let children: UnsafeMutablePointer<Node>?

    /// Makes a leaf (no children) or an inner node from copies of the references.
    init(
        stamp: UInt64, rows source: UnsafeBufferPointer<Row>, children below: UnsafeBufferPointer<Node>? = nil
    ) {
        precondition(source.count <= Node.rowCountMax)
        self.stamp = stamp
        count = source.count
        rows = .allocate(capacity: Node.rowCountMax)
        heads = .allocate(capacity: Node.rowCountMax)
        if let start = source.baseAddress { rows.initialize(from: start, count: source.count) }
        if let below, let start = below.baseAddress {
            precondition(below.count == source.count + 1)
            let copy = UnsafeMutablePointer<Node>.allocate(capacity: Node.rowCountMax + 1)
            copy.initialize(from: start, count: below.count)
            children = copy
        } else {
            children = nil
        }
        refreshHeads()
    }

    private init(copying node: Node, stamp: UInt64) {
        self.stamp = stamp
        count = node.count
        prefixCount = node.prefixCount
        rows = .allocate(capacity: Node.rowCountMax)
        rows.initialize(from: node.rows, count: node.count)
        heads = .allocate(capacity: Node.rowCountMax)
        heads.update(from: node.heads, count: node.count)
        if let below = node.children {
            let copy = UnsafeMutablePointer<Node>.allocate(capacity: Node.rowCountMax + 1)
            copy.initialize(from: below, count: node.count + 1)
            children = copy
        } else {
            children = nil
        }
    }

    deinit {
        rows.deinitialize(count: count)
        rows.deallocate()
        heads.deallocate()
        if let children {
            children.deinitialize(count: count + 1)
            children.deallocate()
        }
    }

    var isLeaf: Bool { children == nil }
    var rowBuffer: UnsafeBufferPointer<Row> { UnsafeBufferPointer(start: rows, count: count) }
    var childBuffer: UnsafeBufferPointer<Node>? { children.map { UnsafeBufferPointer(start: $0, count: count + 1) } }

    /// The node itself if the batch owns it, else a copy that it owns.
    func owned(by stamp: UInt64) -> Node { self.stamp == stamp ? self : Node(copying: self, stamp: stamp) }

    /// Number of rows whose key is below `key`, and whether the next row has exactly this key.
    func position(of key: UnsafeRawBufferPointer) -> (index: Int, isMatch: Bool) {
        guard count > 0 else { return (0, false) }
        if prefixCount > 0 {
            let prefix = UnsafeRawBufferPointer(rebasing: rows[0].key[..<prefixCount])
            let order = compareBytes(UnsafeRawBufferPointer(rebasing: key.prefix(prefixCount)), prefix)
            if order != 0 { return (order < 0 ? 0 : count, false) }
        }
        let wanted = head(of: key, after: prefixCount)
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            let found = heads[middle]
            if found < wanted {
                low = middle + 1
            } else if found > wanted {
                high = middle
            } else {
                let order = compareBytes(rows[middle].key, key)
                if order == 0 { return (middle, true) }
                if order < 0 { low = middle + 1 } else { high = middle }
            }
        }
        return (low, false)
    }

    /// Number of the child that holds `key`.
    func childIndex(for key: UnsafeRawBufferPointer) -> Int {
        let (index, isMatch) = position(of: key)
        return isMatch ? index + 1 : index
    }

    func row(_ index: Int) -> Row { rows[index] }

    /// A child, in an inner node.
    func child(_ index: Int) -> Node { children![index] }

    /// Makes the child changeable by this node's batch.
    func ownedChild(_ index: Int) -> Node {
        let child = children![index]
        if child.stamp == stamp { return child }
        let copy = child.owned(by: stamp)
        children![index] = copy
        return copy
    }

    /// Puts another row of the same key in place.
    func replaceRow(_ index: Int, with row: Row) { rows[index] = row }

    /// Adds a row, and in an inner node the child to its right. The node must not be full.
    func insert(_ row: Row, right: Node? = nil, at index: Int) {
        precondition(count < Node.rowCountMax && (right == nil) == isLeaf)
        let shared = count == 0 ? row.key.count : min(prefixCount, sharedPrefix(rows[0].key, row.key))
        (rows + index + 1).moveInitialize(from: rows + index, count: count - index)
        (rows + index).initialize(to: row)
        if let children, let right {
            (children + index + 2).moveInitialize(from: children + index + 1, count: count - index)
            (children + index + 1).initialize(to: right)
        }
        count += 1
        if shared < prefixCount || count == 1 {
            refreshHeads()
        } else {
            (heads + index + 1).update(from: heads + index, count: count - 1 - index)
            heads[index] = head(of: row.key, after: prefixCount)
        }
    }

    /// Takes a row out, and in an inner node the child to its right.
    func remove(at index: Int) {
        (rows + index).deinitialize(count: 1)
        (rows + index).moveInitialize(from: rows + index + 1, count: count - index - 1)
        (heads + index).update(from: heads + index + 1, count: count - index - 1)
        if let children {
            (children + index + 1).deinitialize(count: 1)
            (children + index + 1).moveInitialize(from: children + index + 2, count: count - index - 1)
        }
        count -= 1
    }

    /// Moves the upper part into a new node: rows from `index` on; in an inner node the row at `index` goes up instead.
    func split(at index: Int) -> (separator: Row, right: Node) {
        let separator: Row
        let right: Node
        if let children {
            separator = rows[index]
            right = Node(
                stamp: stamp, rows: UnsafeBufferPointer(start: rows + index + 1, count: count - index - 1),
                children: UnsafeBufferPointer(start: children + index + 1, count: count - index))
            (children + index + 1).deinitialize(count: count - index)
        } else {
            separator = rows[index].separator()
            right = Node(stamp: stamp, rows: UnsafeBufferPointer(start: rows + index, count: count - index))
        }
        (rows + index).deinitialize(count: count - index)
        count = index
        refreshHeads()
        return (separator, right)
    }

    /// Puts two neighbours in the place of child `index` and the one right of it, with `separator` between them.
    func replaceChildren(at index: Int, left: Node, separator: Row, right: Node) {
        children![index] = left
        children![index + 1] = right
        rows[index] = separator
        refreshHeads()
    }

    /// Puts one node in the place of child `index` and the one right of it.
    func mergeChildren(at index: Int, into merged: Node) {
        children![index] = merged
        remove(at: index)
    }

    private func refreshHeads() {
        guard count > 0 else {
            prefixCount = 0
            return
        }
        prefixCount = sharedPrefix(rows[0].key, rows[count - 1].key)
        for index in 0..<count { heads[index] = head(of: rows[index].key, after: prefixCount) }
    }
}
