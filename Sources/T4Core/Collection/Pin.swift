package import T4Protocols

/// For whom a checkpoint is kept; the value is the folder of the pins.
package enum PinKind: String, Hashable, Sendable, Codable, CaseIterable {
    /// A database that uses the tables of the checkpoint where they lie.
    case branch = "branches"
    /// A backup that refers to the checkpoint.
    case backup = "backups"
    /// Somebody who reads the checkpoint at the moment.
    case reader = "readers"
}

/// The object `branches/ID/NONCE`, `backups/ID/NONCE` or `readers/ID/NONCE`: a checkpoint that collections keep. Written once.
package struct Pin: SealedObject {
    package var format = 1
    package var database: String
    package var nonce: String
    /// As in the object's name.
    package var id: String
    /// Name of the checkpoint's object.
    package var checkpoint: String
    /// `id` in that object.
    package var checkpointID: String
    /// The last entry of the checkpoint.
    package var index: UInt64
    package var revision: Int64
    /// Whether the log behind that entry is kept as well.
    package var keepsLog: Bool
    /// When it was written, nanoseconds since 1970.
    package var createdTime: UInt64
    package var sum = ""

    package init(
        _ file: ManifestFile, key: ObjectKey, id: String, nonce: String, keepsLog: Bool, createdTime: UInt64
    ) {
        database = file.checkpoint.database
        self.nonce = nonce
        self.id = id
        checkpoint = key.rawValue
        checkpointID = file.id
        index = file.checkpoint.index
        revision = file.checkpoint.revision
        self.keepsLog = keepsLog
        self.createdTime = createdTime
    }

    /// Whether it lies under a name of its own.
    package func belongs(at key: ObjectKey) -> Bool {
        PinKind.allCases.contains { kind in
            guard let name = StoreLayout.pin(key, of: kind) else { return false }
            return name.id == id && name.nonce ?? nonce == nonce
        }
    }

    /// 1 to 128 letters, digits, dots, hyphens and underscores of ASCII.
    package static func isValid(id: String) -> Bool {
        (1...128).contains(id.utf8.count)
            && id.unicodeScalars.allSatisfy { scalar in
                switch scalar {
                case "a"..."z", "A"..."Z", "0"..."9", ".", "-", "_": true
                default: false
                }
            }
    }
}
