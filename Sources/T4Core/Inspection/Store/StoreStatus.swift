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
    /// Registered forks, by id.
    package var branches: [String]

    /// Reads the head and lists each class of objects once. Blocks; see `BlockingStore`.
    /// - Throws: Of the store; `CheckpointError` for a head that cannot be read.
    package init(_ store: BlockingStore) throws {
        head = try store.find(StoreLayout.head).map { try Head.decode($0.bytes) }
        var listing = StoreListing()
        for prefix in [StoreLayout.checkpoints, StoreLayout.tables, StoreLayout.log, "branches/"] as [ObjectKey] {
            try listing.add(prefix, of: store)
        }
        checkpoints = Count(listing.checkpoints)
        tables = Count(listing.tables)
        log = Count(listing.log)
        branches = listing.branches.map { String($0.key.rawValue.dropFirst("branches/".count)) }
    }
}
