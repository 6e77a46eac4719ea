import T4Protocols

/// The object `database`: which database lives under a prefix. Written once, before anything else.
package struct DatabaseObject: SummedObject {
    /// Format version: 1.
    package var format = 1
    /// The database, 32 hexadecimal digits.
    package var database: String
    /// Where the database came from; nil unless it began as a part of another one.
    package var lineage: Manifest.Lineage?
    /// What a branch was forked from; nil for other databases.
    package var branch: Branch?
    /// When it was written, nanoseconds since 1970.
    package var created: UInt64
    /// SHA-256 of the canonical encoding in which this is empty.
    package var sum = ""

    /// A database that began as a checkpoint of another one, whose tables it uses where they lie.
    package struct Branch: Hashable, Sendable, Codable {
        /// Prefix of the parent, in the same store.
        package var prefix: String
        /// Name of the parent's checkpoint.
        package var checkpoint: String
        /// The last entry of the parent's log that is in; nil where that is the checkpoint's.
        package var index: UInt64?

        package init(prefix: String, checkpoint: String, index: UInt64?) {
            self.prefix = prefix
            self.checkpoint = checkpoint
            self.index = index
        }
    }

    package init(
        _ database: DatabaseID, lineage: Manifest.Lineage? = nil, branch: Branch? = nil, created: UInt64
    ) throws {
        self.database = database.description
        self.lineage = lineage
        self.branch = branch
        self.created = created
        self = try sealed()
    }

    /// The database's id.
    package var id: DatabaseID {
        guard let id = DatabaseID(hex: database) else { preconditionFailure("it was checked when it was read") }
        return id
    }

    /// Reads the object and checks everything in it.
    /// - Throws: `CheckpointError`: `.corrupted` with the object's name, `.laterVersion` for a later format.
    package static func decode(_ bytes: [UInt8]) throws -> DatabaseObject {
        let object = try decode(bytes, key: StoreLayout.database)
        guard DatabaseID(hex: object.database) != nil else {
            throw CheckpointError(.corrupted, "the hash in \(StoreLayout.database) does not match its content")
        }
        return object
    }

    /// The database under the store's prefix; nil when there is none.
    package static func read(_ store: BlockingStore) throws -> DatabaseObject? {
        try store.find(StoreLayout.database).map { try decode($0.bytes) }
    }

    /// The database under the store's prefix.
    /// - Throws: Also `.invalidArgument` when there is none.
    package static func require(_ store: BlockingStore) throws -> DatabaseObject {
        guard let object = try read(store) else { throw noDatabase }
        return object
    }

    /// What there is to say of a place without a database.
    static let noDatabase = CheckpointError(
        .invalidArgument, "there is no database in this place: \(StoreLayout.database) is missing")

    /// Writes the object where there is none.
    /// - Returns: What is there now: this object, or that of somebody who was quicker.
    /// - Throws: Of the store: `.outcomeUnknown` only when it is still so after a few attempts.
    package func write(_ store: BlockingStore) throws -> DatabaseObject {
        let bytes = try encoded()
        var attempts = 0
        while true {
            attempts += 1
            do throws(ObjectStoreError) {
                _ = try store.put(StoreLayout.database, bytes, when: .absent)
                return self
            } catch {
                guard error.code == .alreadyExists || error.code == .outcomeUnknown else { throw error }
                // Its id was drawn for this object, so that one with the id is this one.
                if let there = try DatabaseObject.read(store) { return there }
                if attempts == DatabaseObject.attemptsMax { throw error }
            }
        }
    }

    /// Attempts to write it, without a pause, while the outcome is unknown.
    private static let attemptsMax = 4
}
