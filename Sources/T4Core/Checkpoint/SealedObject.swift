package import T4Protocols

/// A small object in canonical JSON that says itself whether it is whole.
package protocol SummedObject: Hashable, Sendable, Codable {
    /// Format version: 1.
    var format: Int { get }
    /// SHA-256 of the canonical encoding in which this is empty.
    var sum: String { get set }
}

/// One that also says who wrote it.
package protocol SealedObject: SummedObject {
    /// The database it belongs to, 32 hexadecimal digits.
    var database: String { get }
    /// Fresh with each writing, so that a put whose outcome is unknown can be recognised (Rule S1).
    var nonce: String { get }
}

extension SummedObject {
    /// The same with its sum.
    package func sealed() throws -> Self {
        var object = self
        object.sum = ""
        object.sum = try CanonicalJSON.hash(object)
        return object
    }

    /// The whole object.
    package func encoded() throws -> [UInt8] { try CanonicalJSON.encode(sealed()) }

    /// Reads the object and checks everything in it.
    /// - Throws: `.corrupted` with the object's name, `.laterVersion` for a later format.
    package static func decode(_ bytes: [UInt8], key: ObjectKey) throws -> Self {
        do {
            return try decodeKnown(bytes, name: key.rawValue)
        } catch let damage as CheckpointError {
            throw LaterFormat.ofSealed(bytes, name: key.rawValue, known: 1) ?? damage
        }
    }

    private static func decodeKnown(_ bytes: [UInt8], name: String) throws -> Self {
        let object = try CanonicalJSON.decode(Self.self, bytes, name: name)
        guard try object.sealed().sum == object.sum else {
            throw CheckpointError(.corrupted, "the hash in \(name) does not match its content")
        }
        guard object.format == 1 else {
            throw CheckpointError(.corrupted, "\(name) has format \(object.format), which there never was")
        }
        return object
    }
}

extension SealedObject {
    /// The same for an object of that database.
    /// - Throws: Also `.invalidArgument` when it is another database's.
    package static func decode(_ bytes: [UInt8], key: ObjectKey, of databaseID: DatabaseID) throws -> Self {
        let object = try decode(bytes, key: key)
        guard object.database == databaseID.description else {
            throw CheckpointError(
                .invalidArgument, "\(key) belongs to database \(object.database), not to \(databaseID)")
        }
        return object
    }
}

extension BlockingStore {
    /// How a swap ended for certain.
    package enum Swap<Object: SealedObject>: Sendable {
        /// The object is there, under that version.
        case won(ObjectVersion)
        /// Somebody else's object is there, or none any more.
        case lost(to: Object?)
    }

    /// Attempts to swap an object, without a pause, while the outcome is unknown.
    private static var swapAttemptsMax: Int { 4 }

    /// Reads a sealed object with the version to swap it by; nil when there is none.
    /// - Throws: As `SealedObject.decode`.
    package func find<Object: SealedObject>(
        _ type: Object.Type, _ key: ObjectKey, of databaseID: DatabaseID
    ) throws -> (object: Object, version: ObjectVersion)? {
        guard let stored = try find(key) else { return nil }
        return (try Object.decode(stored.bytes, key: key, of: databaseID), stored.info.version)
    }

    /// Replaces an object by compare-and-swap, and finds out what became of it (Rule S1).
    ///
    /// - Parameter version: Of what is replaced; nil where nothing may be there.
    /// - Throws: Of the store; `.outcomeUnknown` when that is still so after a few attempts: the swap may yet happen.
    package func swap<Object: SealedObject>(
        _ key: ObjectKey, to object: Object, from version: ObjectVersion?, of databaseID: DatabaseID
    ) throws -> Swap<Object> {
        let bytes = try object.encoded()
        let condition: PutCondition = version.map { .unchanged(since: $0) } ?? .absent
        var attempts = 0
        while true {
            attempts += 1
            do throws(ObjectStoreError) {
                return .won(try put(key, bytes, when: condition))
            } catch {
                guard [.outcomeUnknown, .alreadyExists, .conditionFailed].contains(error.code) else { throw error }
                // It may be this very object that is there; an unchanged one proves nothing, so it is tried again on
                // the same version: only one of the two can win.
                let now = try find(Object.self, key, of: databaseID)
                if let now, now.object.nonce == object.nonce { return .won(now.version) }
                guard now?.version == version, error.code == .outcomeUnknown else { return .lost(to: now?.object) }
                if attempts == Self.swapAttemptsMax { throw error }
            }
        }
    }
}
