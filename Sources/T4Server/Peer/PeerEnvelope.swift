import T4Core

/// Questions and answers as bytes; docs/formats.md, "Between nodes", describes every byte.
struct PeerEnvelope: Hashable, Sendable {
    /// The instance that is meant: another one may have its address by now.
    var target: String
    /// The instance that asks.
    var sender: String
    /// The question itself.
    var request: [UInt8]

    init(target: String, sender: String, request: [UInt8]) {
        self.target = target
        self.sender = sender
        self.request = request
    }

    func encoded(seed: PeerSeed) -> [UInt8] {
        var writer = PeerWriter()
        writer.put(PeerIdentity.version)
        writer.put(target)
        writer.put(sender)
        writer.put(raw: request)
        return writer.sealed(seed)
    }

    init(_ bytes: [UInt8], seed: PeerSeed) throws(PeerCodingError) {
        var reader = try PeerReader.whole(bytes, seed: seed)
        let version: UInt32 = try reader.number()
        guard version == PeerIdentity.version else { throw .unknown(field: "version", UInt64(version)) }
        target = try reader.text()
        sender = try reader.text()
        request = reader.remainder()
    }

    // MARK: Answers

    static func answer(_ bytes: [UInt8], seed: PeerSeed) -> [UInt8] {
        var writer = PeerWriter()
        writer.put(UInt8(0))
        writer.put(raw: bytes)
        return writer.sealed(seed)
    }

    static func refusal(_ code: UInt32, _ text: String, seed: PeerSeed) -> [UInt8] {
        var writer = PeerWriter()
        writer.put(UInt8(1))
        writer.put(code)
        writer.put(text)
        return writer.sealed(seed)
    }

    /// What an answer says.
    static func readAnswer(
        _ bytes: [UInt8], seed: PeerSeed
    ) throws(PeerCodingError) -> Result<[UInt8], PeerCallError> {
        var reader = try PeerReader.whole(bytes, seed: seed)
        guard try reader.flag("answer") else { return .success(reader.remainder()) }
        let code: UInt32 = try reader.number()
        let text = try reader.text()
        try reader.finish()
        return .failure(.refused(code: code, text: text))
    }
}
