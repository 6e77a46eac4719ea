package import T4Core

/// Who is at the other end: what each side says first on a stream. docs/formats.md, "Between nodes", describes every byte.
package struct PeerIdentity: Hashable, Sendable {
    /// The version of all that nodes say to each other.
    static let version: UInt32 = 1
    private static let magic = Array("T4PEERS\n".utf8)

    /// Its database.
    package var databaseID: DatabaseID
    /// Different in each process.
    package var process: UInt64
    /// Its configured name.
    package var nodeID: String
    /// Fresh with each data directory.
    package var instanceID: String
    /// Where others reach it.
    package var address: String

    init(databaseID: DatabaseID, process: UInt64, nodeID: String, instanceID: String, address: String) {
        self.databaseID = databaseID
        self.process = process
        self.nodeID = nodeID
        self.instanceID = instanceID
        self.address = address
    }

    /// The first message of a stream.
    func encoded(version: UInt32 = PeerIdentity.version) -> [UInt8] {
        var writer = PeerWriter()
        writer.put(raw: PeerIdentity.magic)
        writer.put(version)
        writer.put(raw: databaseID.bytes)
        writer.put(process)
        writer.put(nodeID)
        writer.put(instanceID)
        writer.put(address)
        return writer.sealed(.none)
    }

    /// Reads the first message of a stream.
    static func read(_ bytes: [UInt8]) throws(PeerRefusal) -> PeerIdentity {
        do throws(PeerCodingError) {
            var reader = try PeerReader(bytes, seed: .none)
            guard try reader.raw(magic.count) == magic else { throw .contradiction("it is no greeting of a node") }
            let other: UInt32 = try reader.number()
            // What stands behind it is not known of other versions.
            if other == version { return try read(&reader) }
            throw .unknown(field: versionField, UInt64(other))
        } catch {
            if case .unknown(versionField, let other) = error { throw .version(UInt32(truncatingIfNeeded: other)) }
            throw .malformed(error)
        }
    }

    private static let versionField = "version"

    private static func read(_ reader: inout PeerReader) throws(PeerCodingError) -> PeerIdentity {
        guard let databaseID = DatabaseID(try reader.raw(DatabaseID.byteCount)) else { throw .truncated }
        let identity = PeerIdentity(
            databaseID: databaseID, process: try reader.number(), nodeID: try reader.text(),
            instanceID: try reader.text(), address: try reader.text())
        try reader.finish()
        guard reader.rest.isEmpty else { throw .tooLong(reader.rest.count) }
        return identity
    }

    /// Whether this node has to do with another one.
    func check(_ other: PeerIdentity) throws(PeerRefusal) {
        guard other.databaseID == databaseID else { throw .database(other.databaseID, own: databaseID) }
        guard other.process != process else { throw .ownProcess }
        guard other.instanceID != instanceID else { throw .copiedInstance(other) }
    }
}
