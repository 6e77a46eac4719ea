package import T4Protocols

/// Walks over the rows of a range of one version of a tree, in either direction.
package struct TreeCursor {
    /// A node on the way down, and the index within it: of a child, or in a leaf of the row that comes next.
    private struct Step {
        var node: Node
        var index: Int
    }

    private var path: [Step] = []
    private let order: ScanOrder
    /// The bound at which the walk ends, excluded going up and included going down; nil for none.
    private let end: [UInt8]?
    /// The row that comes next; nil behind the last.
    package private(set) var next: Row?

    /// Stands at the first row of the range in that order.
    package init(_ tree: Tree, _ range: KeyRange, _ order: ScanOrder) {
        self.order = order
        switch order {
        case .ascending:
            end = range.upper
            descend(tree.root, to: range.lower)
        case .descending:
            end = range.lower.isEmpty ? nil : range.lower
            if let upper = range.upper {
                descend(tree.root, to: upper, stepsBack: 1)
            } else {
                descendToLast(tree.root)
            }
        }
        settle()
    }

    /// Goes on to the next row.
    package mutating func advance() {
        guard !path.isEmpty else { return }
        path[path.count - 1].index += order == .ascending ? 1 : -1
        settle()
    }

    /// Goes down to the first row at or above `key`, or with `stepsBack` 1 to the one before.
    private mutating func descend(_ root: Node, to key: [UInt8], stepsBack: Int = 0) {
        key.withUnsafeBytes { key in
            var node = root
            while !node.isLeaf {
                let index = node.childIndex(for: key)
                path.append(Step(node: node, index: index))
                node = node.child(index)
            }
            path.append(Step(node: node, index: node.position(of: key).index - stepsBack))
        }
    }

    private mutating func descendToLast(_ root: Node) {
        var node = root
        while !node.isLeaf {
            path.append(Step(node: node, index: node.count))
            node = node.child(node.count)
        }
        path.append(Step(node: node, index: node.count - 1))
    }

    private mutating func descendToFirst(_ root: Node) {
        var node = root
        while !node.isLeaf {
            path.append(Step(node: node, index: 0))
            node = node.child(0)
        }
        path.append(Step(node: node, index: 0))
    }

    /// Moves to a neighbouring leaf where this one is used up, and sets `next`.
    private mutating func settle() {
        while let leaf = path.last {
            if leaf.index >= 0, leaf.index < leaf.node.count {
                let row = leaf.node.row(leaf.index)
                if isBehindEnd(row) { break }
                next = row
                return
            }
            path.removeLast()
            while let step = path.last {
                let index = step.index + (order == .ascending ? 1 : -1)
                if index >= 0, index <= step.node.count {
                    path[path.count - 1].index = index
                    let child = step.node.child(index)
                    if order == .ascending { descendToFirst(child) } else { descendToLast(child) }
                    break
                }
                path.removeLast()
            }
        }
        path = []
        next = nil
    }

    private func isBehindEnd(_ row: Row) -> Bool {
        guard let end else { return false }
        let difference = end.withUnsafeBytes { compareBytes(row.key, $0) }
        return order == .ascending ? difference >= 0 : difference < 0
    }
}
