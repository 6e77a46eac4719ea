import T4Protocols

/// Follows the log of a database in its object store: says what has come since the last look.
///
/// A look that finds nothing costs one listing. Objects may be joined and collected between two looks.
struct ChainFollower {
    /// Why it cannot go on.
    enum Failure: Error, Hashable, CustomStringConvertible {
        /// The log behind the last entry is gone: a checkpoint that ends here holds what was in it.
        case behind(LogPosition)
        /// Another entry stands where the last one should.
        case diverged(at: UInt64)

        var description: String {
            switch self {
            case .behind(let position):
                "the object store does not keep the log any more that follows: a checkpoint up to entry \(position.index) does"
            case .diverged(let index):
                "entry \(index) of this copy is another one in the object store: it holds what its database gave up, or another "
                    + "database; begin anew with an empty data directory"
            }
        }
    }

    private let restorer: Restorer
    /// The last entry that was handed out, or that the copy had before.
    private(set) var end: LogPosition
    /// Whether the last entry is in the store, with everything before it.
    var isInStore: Bool { anchor == end }
    /// Where a reading begins: the end of an object, or of a checkpoint. Nil where that has to be looked for.
    private var anchor: LogPosition?
    /// The object that ends there, as it was read.
    private var anchorObject: ObjectInfo?
    /// What was listed behind it when nothing there went on with the chain: what deposed leaders left.
    private var orphans: [ObjectInfo] = []

    /// - Parameter end: The last entry that the copy has.
    init(_ restorer: Restorer, behind end: LogPosition) {
        self.restorer = restorer
        self.end = end
    }

    /// Hands out the entries that came since the last look, in pieces and in order.
    /// - Throws: `Failure`; of the store; `LogError` of a damaged object; of `take`. The next look goes on behind what was taken.
    mutating func look(_ take: ([LogEntry]) throws -> Void) throws {
        guard let anchor else { return try lookFromCheckpoint(take) }
        var (isThere, listed) = (anchorObject == nil, [ObjectInfo]())
        let before = anchorObject.flatMap { StoreLayout.firstIndex($0.key) } ?? anchor.index + 1
        try restorer.chain.store.list(
            StoreLayout.log, after: before <= 1 ? nil : StoreLayout.log(firstIndex: before - 1)
        ) {
            object in
            if object.key == anchorObject?.key {
                isThere = object.version == anchorObject?.version
            } else if let first = StoreLayout.firstIndex(object.key), first > anchor.index {
                listed.append(object)
            }
        }
        // An object that is not as it was has been joined with its neighbours, or collected.
        if isThere {
            guard listed != orphans else {
                // Behind a checkpoint there may be nothing any more.
                if listed.isEmpty, anchorObject == nil { try checkIsNewest() }
                return
            }
            guard try !read(after: anchor, take) else { return }
        }
        try lookFromCheckpoint(take)
        orphans = listed.filter { StoreLayout.firstIndex($0.key) ?? 0 > end.index }
    }

    private func checkIsNewest() throws {
        let head = try restorer.checkpoints.headOrStandIn()?.head.position ?? .zero
        guard end.index >= head.index else { throw Failure.behind(head) }
    }

    private mutating func lookFromCheckpoint(_ take: ([LogEntry]) throws -> Void) throws {
        // In this order: what a checkpoint covers that is there now is in the log, or gone from it.
        let head = try restorer.checkpoints.headOrStandIn()?.head.position ?? .zero
        var base = LogPosition.zero
        if let found = try restorer.base(upTo: end) {
            base = found
        } else if head.index > end.index {
            throw Failure.behind(head)
        } else if head != .zero {
            throw RestoreError(
                .damaged, "no checkpoint up to entry \(end.index) can be read, and the log before it is gone")
        }
        guard base.index < end.index || base == end else { throw Failure.diverged(at: end.index) }
        (anchor, anchorObject, orphans) = (base, nil, [])
        _ = try read(after: base, take)
        // Checkpoints may be kept whose log is not.
        guard end.index >= head.index else { throw Failure.behind(head) }
    }

    /// - Returns: Whether there was an object that goes on.
    private mutating func read(after start: LogPosition, _ take: ([LogEntry]) throws -> Void) throws -> Bool {
        var (piece, size, isFound) = ([LogEntry](), 0, false)
        var next = self
        func flush() throws {
            guard let last = piece.last else { return }
            try take(piece)
            (piece, size) = ([], 0)
            next.end = last.position
        }
        defer { self = next }
        _ = try restorer.chain.read(
            after: start,
            objectDone: { read in
                isFound = true
                try flush()
                (next.anchor, next.anchorObject, next.orphans) = (read.position, read.lastObject, [])
            },
            visit: { entry in
                if entry.position.index == next.end.index, entry.position != next.end, piece.isEmpty {
                    throw Failure.diverged(at: entry.position.index)
                }
                guard entry.position.index > max(next.end.index, piece.last?.position.index ?? 0) else { return .next }
                piece.append(entry)
                size += LogFormat.frameSize(entry)
                if size >= ChainFollower.pieceBytesMax || piece.count >= ChainFollower.pieceMax { try flush() }
                return .next
            })
        return isFound
    }

    private static let pieceMax = 1024
    private static let pieceBytesMax = 1 << 20
}
