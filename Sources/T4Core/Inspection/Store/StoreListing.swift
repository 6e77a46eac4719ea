package import T4Protocols

/// The objects under a database's prefix, by what their names say they are.
package struct StoreListing: Sendable {
    package var database: ObjectInfo?
    package var head: ObjectInfo?
    package var checkpoints: [ObjectInfo] = []
    package var tables: [ObjectInfo] = []
    package var log: [ObjectInfo] = []
    /// What keeps checkpoints: for branches, backups and readers.
    package var pins: [ObjectInfo] = []
    /// Where collections stand, and what they deleted or are to delete.
    package var collection: [ObjectInfo] = []
    /// Names that mean nothing to this build.
    package var unknown: [ObjectInfo] = []

    /// Lists what begins with `prefix`, by default everything.
    package mutating func add(_ prefix: ObjectKey = "", of store: BlockingStore) throws {
        try store.list(prefix) { add($0) }
    }

    package init() {}

    private static func isPin(_ key: ObjectKey) -> Bool {
        PinKind.allCases.contains { StoreLayout.pin(key, of: $0) != nil }
    }

    private mutating func add(_ object: ObjectInfo) {
        let key = object.key
        if key == StoreLayout.database {
            database = object
        } else if key == StoreLayout.head {
            head = object
        } else if StoreLayout.isCheckpoint(key) {
            checkpoints.append(object)
        } else if StoreLayout.table(key) != nil {
            tables.append(object)
        } else if StoreLayout.firstIndex(key) != nil {
            log.append(object)
        } else if StoreListing.isPin(key) {
            pins.append(object)
        } else if key == StoreLayout.collectionState || StoreLayout.condemnedList(key) != nil {
            collection.append(object)
        } else {
            unknown.append(object)
        }
    }
}
