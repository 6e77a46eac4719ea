import T4Protocols

/// Entries of the chain on their way into the log, as they were when it was read.
struct ChainAdoption: Sendable {
    let chain: any ReplicaChain
    let reading: ChainReading
    let after: UInt64
    let last: UInt64
    /// Entries that are written together.
    private static let pieceMax = 1024

    /// Hands everything to `append`, in order.
    /// - Throws: `LogError` `.corrupted` where the chain is another one by now; of the chain, and of `append`.
    func run(_ append: ([LogEntry]) throws -> Void) throws {
        if let kept = reading.entries, let first = kept.first, first.position.index <= after + 1 {
            return try append(kept.filter { $0.position.index > after && $0.position.index <= last })
        }
        var next = after + 1
        while next <= last {
            let piece = try piece(from: next)
            try append(piece)
            next += UInt64(piece.count)
        }
    }

    private func piece(from first: UInt64) throws -> [LogEntry] {
        var piece: [LogEntry] = []
        try chain.visit(after: first - 1) { entry in
            let index = first + UInt64(piece.count)
            guard entry.position.index == index, reading.view.log.term(at: index) == entry.position.term else {
                throw LogError(.corrupted, "the log in the store has changed at entry \(index)")
            }
            piece.append(entry)
            return piece.count == ChainAdoption.pieceMax || index == last ? .stop : .next
        }
        guard !piece.isEmpty else {
            throw LogError(.corrupted, "the log in the store ends before entry \(first), which was there")
        }
        return piece
    }
}
