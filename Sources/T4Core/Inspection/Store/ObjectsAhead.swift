import T4Protocols

/// Reads whole objects one after another, a few of them ahead.
enum ObjectsAhead {
    private static let aheadMax = 4

    /// Visits each item with its object, or with what kept it from being read.
    /// - Parameter start: Starts to read the object of an item.
    static func forEach<Item>(
        _ items: [Item], start: (Item) throws -> BlockingStore.Pending<StoredBytes>,
        visit: (Item, Result<StoredBytes, any Error>) throws -> Void
    ) rethrows {
        var rest = items[...]
        var ahead: [(item: Item, pending: Result<BlockingStore.Pending<StoredBytes>, any Error>)] = []
        while true {
            while ahead.count < aheadMax, let item = rest.popFirst() {
                ahead.append((item, Result { try start(item) }))
            }
            guard let next = ahead.first else { return }
            ahead.removeFirst()
            try visit(next.item, next.pending.flatMap { pending in Result { try pending.wait() } })
        }
    }
}
