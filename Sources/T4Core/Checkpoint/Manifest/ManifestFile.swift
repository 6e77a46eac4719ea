package import T4Protocols

/// The object `checkpoint/TERM/REVISION/manifest.json`.
package struct ManifestFile: Hashable, Sendable, Codable {
    package var checkpoint: Manifest
    package var envelope: Envelope
    /// SHA-256 of the canonical encoding of `checkpoint`.
    package private(set) var id: String
    /// SHA-256 of the canonical encodings of `checkpoint` and `envelope`.
    private var sum: String

    /// What may differ between two writers of the same checkpoint.
    package struct Envelope: Hashable, Sendable, Codable {
        /// Commit time of the last entry, nanoseconds since 1970.
        package var commitTime: UInt64
        /// When the checkpoint was written, nanoseconds since 1970.
        package var writtenTime: UInt64
        package var node: String
        package var engine: String
        package var software: String
        /// Name of the checkpoint that the head named when this one was begun, or of the newest one that could be read
        /// then; nil for the first. If this one ever was the newest, that one was before it.
        package var previous: String?
        /// Where each table lies, by its id.
        package var places: [String: Place]

        package init(
            commitTime: UInt64, writtenTime: UInt64, node: String, engine: String, software: String,
            previous: String? = nil, places: [String: Place]
        ) {
            self.commitTime = commitTime
            self.writtenTime = writtenTime
            self.node = node
            self.engine = engine
            self.software = software
            self.previous = previous
            self.places = places
        }
    }

    /// Where a table lies.
    package struct Place: Hashable, Sendable, Codable {
        /// Prefix of the database that wrote it, when that is another one, as in a branch.
        package var prefix: String?
        /// Name under that prefix, or under the own one.
        package var key: String
        /// Bytes of the object.
        package var size: UInt64

        package init(prefix: String? = nil, key: ObjectKey, size: UInt64) {
            self.prefix = prefix
            self.key = key.rawValue
            self.size = size
        }
    }

    package init(_ checkpoint: Manifest, _ envelope: Envelope) throws {
        self.checkpoint = checkpoint
        self.envelope = envelope
        id = try CanonicalJSON.hash(checkpoint)
        sum = try ManifestFile.sum(id, envelope)
    }

    /// The whole object.
    package func encoded() throws -> [UInt8] { try CanonicalJSON.encode(self) }

    /// Reads an object and checks everything in it.
    /// - Throws: `.corrupted` with the object's name, `.laterVersion` for a later format.
    package static func decode(_ bytes: [UInt8], key: ObjectKey) throws -> ManifestFile {
        do {
            return try decodeKnown(bytes, name: key.rawValue)
        } catch let damage as CheckpointError where damage.code == .corrupted {
            throw LaterFormat.ofManifest(bytes, name: key.rawValue, known: Manifest.latestFormat) ?? damage
        }
    }

    private static func decodeKnown(_ bytes: [UInt8], name: String) throws -> ManifestFile {
        let file = try CanonicalJSON.decode(ManifestFile.self, bytes, name: name)
        guard try CanonicalJSON.hash(file.checkpoint) == file.id,
            try ManifestFile.sum(file.id, file.envelope) == file.sum
        else { throw CheckpointError(.corrupted, "the hash in \(name) does not match its content") }
        guard (1...Manifest.latestFormat).contains(file.checkpoint.format) else {
            throw CheckpointError(
                .corrupted, "\(name) has format \(file.checkpoint.format), which there never was")
        }
        guard file.checkpoint.digest.algorithm == StateDigest.algorithm else {
            throw CheckpointError.laterVersion(
                name, has: "a digest of kind \(file.checkpoint.digest.algorithm)", known: StateDigest.algorithm)
        }
        guard file.checkpoint.meta != nil else {
            throw CheckpointError(.corrupted, "\(name) has a digest that is none: \(file.checkpoint.digest.value)")
        }
        for table in file.checkpoint.tables {
            guard TableID(hex: table.id) != nil, [UInt8](hex: table.first) != nil, [UInt8](hex: table.last) != nil,
                file.envelope.places[table.id] != nil
            else { throw CheckpointError(.corrupted, "\(name) names table \(table.id) in a way that cannot be read") }
        }
        return file
    }

    /// Whether the other one is the same checkpoint, made after the same one and in the same tables.
    package func isInterchangeable(with other: ManifestFile) -> Bool {
        id == other.id && envelope.previous == other.envelope.previous && envelope.places == other.envelope.places
    }

    static func sum(_ id: String, _ envelope: some Encodable) throws -> String {
        let bytes = Array(id.utf8) + (try CanonicalJSON.encode(envelope))
        return SHA256.digest(of: bytes.span.bytes).hex
    }
}

/// The object `manifest/latest`: which checkpoint is the newest.
package struct Head: SealedObject {
    package var format = 1
    package var database: String
    /// One more with each swap.
    package var sequence: UInt64
    package var nonce: String
    package var term: UInt64
    package var revision: Int64
    /// Covered index; never falls.
    package var index: UInt64
    /// Name of the checkpoint's object.
    package var checkpoint: String
    /// `id` in that object.
    package var id: String
    package var sum = ""

    /// The last entry that the checkpoint covers.
    package var position: LogPosition { LogPosition(term: term, index: index) }

    package init(
        database: String, sequence: UInt64, nonce: String, manifest: ManifestFile, key: ObjectKey
    ) throws {
        self.database = database
        self.sequence = sequence
        self.nonce = nonce
        term = manifest.checkpoint.term
        revision = manifest.checkpoint.revision
        index = manifest.checkpoint.index
        checkpoint = key.rawValue
        id = manifest.id
        self = try sealed()
    }
}
