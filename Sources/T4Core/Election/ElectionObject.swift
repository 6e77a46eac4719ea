import T4Protocols

/// The object `leader-lock`: the election record as it is stored.
struct ElectionObject: SummedObject {
    private(set) var format = 1
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
    var sum = ""

    init(_ record: LeaderRecord) {
        term = record.term
        node = record.nodeID
        instance = record.instanceID
        address = record.address
        inSync = record.inSyncSet
        storeComplete = record.storeComplete
        sequence = record.sequence
        nonce = withUnsafeBytes(of: record.nonce.bigEndian) { Array($0).hex }
        resigned = record.isResigned
    }

    /// Reads the record of an object, checking everything in it.
    /// - Throws: As `decode`.
    static func record(_ bytes: [UInt8], key: ObjectKey) throws -> LeaderRecord {
        let object = try decode(bytes, key: key)
        guard let nonce = UInt64(object.nonce, radix: 16) else {
            throw CheckpointError(.corrupted, "the hash in \(key) does not match its content")
        }
        return LeaderRecord(
            term: object.term, nodeID: object.node, instanceID: object.instance, address: object.address,
            inSyncSet: object.inSync, storeComplete: object.storeComplete, sequence: object.sequence, nonce: nonce,
            isResigned: object.resigned)
    }
}
