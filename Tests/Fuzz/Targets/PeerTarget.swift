@testable import T4Core
@testable import T4Server

/// What nodes say to each other. The first byte chooses the kind; checksums are made right first, or no change would get
/// beyond them. Of a message the second byte says how long its piece is, and frames of entries follow.
extension FuzzTarget {
    static let peers = FuzzTarget(name: "peers") { input in
        guard let choice = input.first else { return }
        let rest = Array(input.dropFirst())
        let seed = PeerSeed(OneSegment.database)
        do {
            switch choice % 6 {
            case 0:
                let size = min(Int(rest.first ?? 0), max(0, rest.count - 1))
                let bytes =
                    piece(Array(rest.dropFirst().prefix(size)), seed)
                    + OneSegment.mended(Array(rest.dropFirst(1 + size)), from: 0, seed: seed.state)
                let message = try PeerMessage(bytes, from: "a", seed: seed)
                try unchanged(message.encoded(seed: seed), bytes)
                for part in message.split(bytesMax: 64) {
                    let read = try PeerMessage(part.encoded(seed: seed), from: "a", seed: seed)
                    try FuzzFailure.unless(read == part, "a part of an append changes")
                }
            case 1:
                let bytes = piece(rest, .none)
                try unchanged(try PeerIdentity.read(bytes).encoded(), bytes)
            case 2:
                let bytes = piece(rest, seed)
                try unchanged(try PeerEnvelope(bytes, seed: seed).encoded(seed: seed), bytes)
            case 3:
                let bytes = piece(rest, seed)
                switch try PeerEnvelope.readAnswer(bytes, seed: seed) {
                case .success(let answer): try unchanged(PeerEnvelope.answer(answer, seed: seed), bytes)
                case .failure(.refused(let code, let text)):
                    try unchanged(PeerEnvelope.refusal(code, text, seed: seed), bytes)
                case .failure(let other): throw FuzzFailure("an answer says \(other)")
                }
            case 4:
                let bytes = piece(rest, seed)
                try unchanged(try LeaderRequest(bytes, seed).encoded(seed), bytes)
            default:
                let bytes = piece(rest, seed)
                try unchanged(try LeaderAnswer(bytes, seed).encoded(seed), bytes)
            }
        } catch let error as PeerCodingError {
            try FuzzFailure.unless(!error.description.isEmpty, "an error without words")
        } catch let error as PeerRefusal {
            try FuzzFailure.unless(!error.description.isEmpty, "an error without words")
        }
    }

    private static func piece(_ content: [UInt8], _ seed: PeerSeed) -> [UInt8] {
        var writer = PeerWriter()
        writer.put(raw: content)
        return writer.sealed(seed)
    }

    private static func unchanged(_ written: [UInt8], _ read: [UInt8]) throws {
        try FuzzFailure.unless(written == read, "not written as it was read: \(read)")
    }
}
