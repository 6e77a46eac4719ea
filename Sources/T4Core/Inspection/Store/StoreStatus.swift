package import T4Protocols

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
    /// Who leads the cluster, or led it last; nil for a node that is alone.
    package var leader: LeaderRecord?
    /// Registered forks by id, and the checkpoint of each.
    package var branches: [(id: String, checkpoint: String)]
    /// Of a branch: how many tables of the newest checkpoint lie below other databases' prefixes, ordered by those. Nil for
    /// other databases, and where that checkpoint is not there.
    package var inherited: [(prefix: String, tables: Int)]?

    /// Reads the head and the registered forks, and lists each class of objects once. Blocks; see `BlockingStore`.
    /// - Throws: Of the store; `CheckpointError` where there is no database, and for an object that cannot be read.
    package init(_ store: BlockingStore) throws {
        let database = try DatabaseObject.require(store)
        head = try store.find(StoreLayout.head).map { try Head.decode($0.bytes, key: StoreLayout.head) }
        leader = try store.find(StoreLayout.election).map {
            try ElectionObject.record($0.bytes, key: StoreLayout.election)
        }
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
        if database.branch != nil { inherited = try StoreStatus.inherited(head, store) }
    }

    private static func inherited(_ head: Head?, _ store: BlockingStore) throws -> [(prefix: String, tables: Int)]? {
        guard let key = head.map({ ObjectKey($0.checkpoint) }), let stored = try store.find(key) else { return nil }
        let places = try ManifestFile.decode(stored.bytes, key: key).envelope.places.values
        let counts = Dictionary(places.compactMap(\.prefix).map { ($0, 1) }, uniquingKeysWith: +)
        return counts.sorted { $0.key < $1.key }.map { (prefix: $0.key, tables: $0.value) }
    }
}
