import T4Protocols

/// What lies under a database's prefix, from one listing and the head.
package struct StoreStatus: Sendable {
    /// Objects of a class.
    package struct Count: Hashable, Sendable {
        package var objects: Int
        package var bytes: UInt64

        fileprivate init(_ listed: [ObjectInfo]) {
            objects = listed.count
            bytes = listed.reduce(0) { $0 + $1.size }
        }
    }

    /// The newest checkpoint; nil when there is none.
    package var head: Head?
    package var checkpoints: Count
    package var tables: Count
    package var log: Count
    /// Registered forks by id, and the checkpoint of each.
    package var branches: [(id: String, checkpoint: String)]

    /// Reads the head and the registered forks, and lists each class of objects once. Blocks; see `BlockingStore`.
    /// - Throws: Of the store; `CheckpointError` for a head or a fork that cannot be read.
    package init(_ store: BlockingStore) throws {
        head = try store.find(StoreLayout.head).map { try Head.decode($0.bytes, key: StoreLayout.head) }
        var listing = StoreListing()
        let branches = StoreLayout.pins(.branch)
        for prefix in [StoreLayout.checkpoints, StoreLayout.tables, StoreLayout.log, branches] {
            try listing.add(prefix, of: store)
        }
        checkpoints = Count(listing.checkpoints)
        tables = Count(listing.tables)
        log = Count(listing.log)
        self.branches = try listing.pins.compactMap { object in
            // One that was removed since the listing is none.
            try store.find(object.key).map { stored in
                let pin = try Pin.decode(stored.bytes, key: object.key)
                return (pin.id, pin.checkpoint)
            }
        }
    }
}
