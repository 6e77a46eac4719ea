import T4Protocols

/// Entries of the chain on their way into the log, as they were when it was read.
struct ChainAdoption: Sendable {
    let chain: any ReplicaChain
    let reading: ChainReading
    let after: UInt64
    let last: UInt64
    /// Entries, and their bytes, that are written together; a single entry may be larger.
    private static let pieceMax = 1024
    private static let pieceBytesMax = 1 << 20

    /// Hands everything to `append`, in order.
    /// - Throws: `LogError` `.corrupted` where the chain is another one by now; of the chain, and of `append`.
    func run(_ append: ([LogEntry]) throws -> Void) throws {
        if let kept = reading.entries, let first = kept.first, first.position.index <= after + 1 {
            return try append(kept.filter { $0.position.index > after && $0.position.index <= last })
        }
        var (next, piece, size): (UInt64, [LogEntry], Int) = (after + 1, [], 0)
        guard next <= last else { return }
        try chain.visit(after: after) { entry in
            guard entry.position.index == next, reading.view.log.term(at: next) == entry.position.term else {
                throw LogError(.corrupted, "the log in the store has changed at entry \(next)")
            }
            piece.append(entry)
            size += LogFormat.frameSize(entry)
            next += 1
            if piece.count == ChainAdoption.pieceMax || size >= ChainAdoption.pieceBytesMax || next > last {
                try append(piece)
                (piece, size) = ([], 0)
            }
            return next > last ? .stop : .next
        }
        guard next > last else {
            throw LogError(.corrupted, "the log in the store ends before entry \(next), which was there")
        }
    }
}
