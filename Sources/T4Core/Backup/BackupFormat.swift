import T4Protocols

/// The file of a backup: objects of a store, one behind the other, and a hash over everything. `docs/formats.md`, "Backups",
/// describes every byte. Integers are little-endian.
enum BackupFormat {
    static let magic = Array("T4BACKUP".utf8)
    static let version: UInt16 = 1
    /// Magic, version, flags (2), four bytes of zero.
    static let headerSize = 16
    /// Kind, length of the name, length of the body.
    static let objectHeaderSize = 11
    /// Kind, number of objects, SHA-256 of everything before the hash.
    static let endSize = 9 + SHA256.byteCount
    static let objectKind: UInt8 = 1
    static let endKind: UInt8 = 2
    /// What a file holds.
    enum Content: UInt16 {
        /// All of a database.
        case whole = 0
        /// An earlier state of a database that goes on behind it.
        case cut = 1
        /// A piece of the log.
        case log = 2
    }

    static func header(_ content: Content) -> [UInt8] {
        var bytes = magic
        bytes.appendLittleEndian(version)
        bytes.appendLittleEndian(content.rawValue)
        bytes += [UInt8](repeating: 0, count: headerSize - bytes.count)
        return bytes
    }

    /// What stands before the body of an object.
    static func head(of name: ObjectKey, size: Int) -> [UInt8] {
        let name = Array(name.rawValue.utf8)
        var bytes = [objectKind]
        bytes.appendLittleEndian(UInt16(name.count))
        bytes.appendLittleEndian(UInt64(size))
        return bytes + name
    }

    /// The end, without its hash.
    static func end(objectCount: Int) -> [UInt8] {
        var bytes = [endKind]
        bytes.appendLittleEndian(UInt64(objectCount))
        return bytes
    }
}
