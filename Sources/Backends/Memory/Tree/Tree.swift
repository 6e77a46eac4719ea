/// An ordered map that is copied in constant time: a B+ tree whose versions share what they have in common.
///
/// A version is a value. Changing one copies the nodes on the way to the changed leaf, once per batch, and leaves every
/// other version as it was.
package struct Tree: Sendable {
    private(set) var root = Node(stamp: 0, rows: UnsafeBufferPointer(start: nil, count: 0))
    package private(set) var rowCount = 0
    /// Bytes of the rows of this version.
    package private(set) var byteCount = 0
    /// Number of the batch that is being made; nodes that carry it are seen by nobody else.
    private var stamp: UInt64 = 0

    /// An empty tree.
    package init() {}

    /// Starts a batch: from here on changes touch no node of the versions made before.
    package mutating func beginBatch() { stamp += 1 }

    /// The row of that key.
    package func row(for key: UnsafeRawBufferPointer) -> Row? {
        var node = root
        while !node.isLeaf { node = node.child(node.childIndex(for: key)) }
        let (index, isMatch) = node.position(of: key)
        return isMatch ? node.row(index) : nil
    }

    /// Adds the row or replaces the one with its key.
    package mutating func put(_ row: Row) {
        root = root.owned(by: stamp)
        if let (separator, right) = put(row, below: root) {
            let both = [root, right]
            root = withExtendedLifetime((separator, both)) {
                [separator].withUnsafeBufferPointer { rows in
                    both.withUnsafeBufferPointer { Node(stamp: stamp, rows: rows, children: $0) }
                }
            }
        }
    }

    /// Removes the row of that key, if there is one.
    mutating func remove(_ key: UnsafeRawBufferPointer) {
        guard let row = row(for: key) else { return }
        rowCount -= 1
        byteCount -= row.byteCount
        root = root.owned(by: stamp)
        remove(key, below: root)
        if !root.isLeaf, root.count == 0 { root = root.child(0) }
    }

    private mutating func put(_ row: Row, below node: Node) -> (separator: Row, right: Node)? {
        if node.isLeaf {
            let (index, isMatch) = node.position(of: row.key)
            byteCount += row.byteCount
            if isMatch {
                byteCount -= node.row(index).byteCount
                node.replaceRow(index, with: row)
                return nil
            }
            rowCount += 1
            return insert(row, right: nil, at: index, into: node)
        }
        let index = node.childIndex(for: row.key)
        guard let (separator, right) = put(row, below: node.ownedChild(index)) else { return nil }
        return insert(separator, right: right, at: index, into: node)
    }

    /// Inserts, after splitting the node where it is full.
    private func insert(_ row: Row, right: Node?, at index: Int, into node: Node) -> (separator: Row, right: Node)? {
        guard node.count == Node.rowCountMax else {
            node.insert(row, right: right, at: index)
            return nil
        }
        // Rows that arrive in order leave nearly full nodes behind, as in a bulk load.
        let middle = index == node.count ? node.count - Node.rowCountMax / 8 : node.count / 2
        let split = node.split(at: middle)
        if index <= node.count {
            node.insert(row, right: right, at: index)
        } else {
            split.right.insert(row, right: right, at: index - middle - (node.isLeaf ? 0 : 1))
        }
        return split
    }

    private func remove(_ key: UnsafeRawBufferPointer, below node: Node) {
        guard !node.isLeaf else {
            let (index, isMatch) = node.position(of: key)
            if isMatch { node.remove(at: index) }
            return
        }
        let index = node.childIndex(for: key)
        let child = node.ownedChild(index)
        remove(key, below: child)
        if child.count < Node.rowCountMin, node.count > 0 { refill(node, at: max(index - 1, 0)) }
    }

    /// Merges child `index` of the node with its right neighbour, or shares their rows out evenly.
    private func refill(_ node: Node, at index: Int) {
        let left = node.child(index)
        let right = node.child(index + 1)
        var rows = Array(left.rowBuffer)
        var children: [Node] = []
        if let first = left.childBuffer, let second = right.childBuffer {
            rows.append(node.row(index))
            children = Array(first) + Array(second)
        }
        rows.append(contentsOf: right.rowBuffer)
        if rows.count <= Node.rowCountMax * 3 / 4 {
            node.mergeChildren(at: index, into: make(rows[...], children[...]))
            return
        }
        let middle = rows.count / 2
        if left.isLeaf {
            node.replaceChildren(
                at: index, left: make(rows[..<middle], []), separator: rows[middle].separator(),
                right: make(rows[middle...], []))
        } else {
            node.replaceChildren(
                at: index, left: make(rows[..<middle], children[...middle]), separator: rows[middle],
                right: make(rows[(middle + 1)...], children[(middle + 1)...]))
        }
    }

    private func make(_ rows: ArraySlice<Row>, _ children: ArraySlice<Node>) -> Node {
        rows.withUnsafeBufferPointer { rows in
            children.withUnsafeBufferPointer { Node(stamp: stamp, rows: rows, children: $0.isEmpty ? nil : $0) }
        }
    }
}
