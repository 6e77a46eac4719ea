import T4Protocols

/// The object `leader-lock`: the election record as it is stored.
struct ElectionObject: Hashable, Codable {
    /// Format version: 1.
    private var format = 1
    private var term: UInt64
    private var node: String
    private var instance: String
    private var address: String
    private var inSync: [String]
    private var storeComplete: Bool
    private var sequence: UInt64
    /// 16 hexadecimal digits: not every reader of JSON has numbers of 64 bits.
    private var nonce: String
    private var resigned: Bool
    /// SHA-256 of the canonical encoding in which this is empty.
    private var sum = ""

    init(_ record: LeaderRecord) throws {
        term = record.term
        node = record.nodeID
        instance = record.instanceID
        address = record.address
        inSync = record.inSyncSet
        storeComplete = record.storeComplete
        sequence = record.sequence
        nonce = record.nonce.sixteenDigits
        resigned = record.isResigned
        sum = try CanonicalJSON.hash(self)
    }

    func encoded() throws -> [UInt8] { try CanonicalJSON.encode(self) }

    /// Reads the object and checks everything in it.
    /// - Parameter name: Of the object, for errors.
    /// - Throws: `CheckpointError`: `.corrupted`, or `.laterVersion` for a later format.
    static func decode(_ bytes: [UInt8], name: String) throws -> LeaderRecord {
        do {
            return try decodeKnown(bytes, name: name)
        } catch let damage as CheckpointError {
            throw LaterFormat.ofSealed(bytes, name: name, known: 1) ?? damage
        }
    }

    private static func decodeKnown(_ bytes: [UInt8], name: String) throws -> LeaderRecord {
        let object = try CanonicalJSON.decode(ElectionObject.self, bytes, name: name)
        var unsigned = object
        unsigned.sum = ""
        guard try CanonicalJSON.hash(unsigned) == object.sum, let nonce = UInt64(object.nonce, radix: 16) else {
            throw CheckpointError(.corrupted, "the hash in \(name) does not match its content")
        }
        guard object.format == 1 else {
            throw CheckpointError(.corrupted, "\(name) has format \(object.format), which there never was")
        }
        return LeaderRecord(
            term: object.term, nodeID: object.node, instanceID: object.instance, address: object.address,
            inSyncSet: object.inSync, storeComplete: object.storeComplete, sequence: object.sequence, nonce: nonce,
            isResigned: object.resigned)
    }
}

extension UInt64 {
    /// 16 digits.
    fileprivate var sixteenDigits: String {
        let digits = String(self, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
