import T4Protocols

/// Whether the objects of the log form the chain that the checkpoints of a database need. Looks at what was read of them,
/// intact or not, and reads nothing.
struct ChainCheck {
    /// An object of the log.
    struct Object {
        /// As its name says.
        var firstIndex: UInt64
        /// Nil for one that is damaged.
        var content: Content?

        struct Content {
            var header: SegmentHeader
            var end: LogPosition
        }

        var key: ObjectKey { StoreLayout.log(firstIndex: firstIndex) }
    }

    /// A checkpoint and the entry it ends with.
    struct Checkpoint {
        var key: ObjectKey
        var position: LogPosition
        /// Kept for somebody else's sake: the log behind it may be gone.
        var isPinned: Bool
    }

    private(set) var problems: [VerificationReport.Finding] = []
    private(set) var notes: [VerificationReport.Finding] = []
    /// The last entry of the chain.
    private(set) var end: LogPosition
    /// Ends of the chain's objects.
    private var ends: [UInt64: LogPosition] = [:]
    /// Indexes that damaged or missing objects hide.
    private var hidden: [ClosedRange<UInt64>] = []
    private let checkpoints: [Checkpoint]

    /// - Parameters:
    ///   - objects: In the order of their names.
    ///   - checkpoints: Those that can be read.
    ///   - isCollected: Objects that no checkpoint needs may have been removed. The first of each term stays for ever.
    init(_ objects: [Object], _ checkpoints: [Checkpoint], isCollected: Bool) {
        self.checkpoints = checkpoints.sorted { $0.position.index < $1.position.index }
        let oldest = (self.checkpoints.first { !$0.isPinned } ?? self.checkpoints.last)?.position ?? .zero
        // A log that was never collected begins with the first entry, or behind the first checkpoint.
        let begins = objects.first?.firstIndex ?? .max
        let start = !isCollected && begins <= oldest.index ? .zero : oldest
        end = start
        ends[start.index] = start
        follow(objects.drop { $0.firstIndex <= start.index }, from: start)
        checkEnds(from: start)
    }

    /// Checkpoints that the chain has to reach end with this index at last.
    private var needed: UInt64 { checkpoints.last?.position.index ?? 0 }

    private mutating func follow(_ objects: ArraySlice<Object>, from start: LogPosition) {
        var chain = LogChain.End(position: start, term: start.term, time: 0)
        /// What is before the next object cannot be told: one that is damaged, or missing.
        var isLost = false
        var rest = objects
        while let object = rest.first {
            guard let content = object.content else {
                // One inside the range of an object of the chain is an orphan.
                if object.firstIndex > end.index { isLost = true }
                rest.removeFirst()
                continue
            }
            let header = content.header
            if isLost, header.previous.index >= end.index {
                if header.previous.index > end.index { hidden.append(end.index + 1...header.previous.index) }
                isLost = false
            } else if object.firstIndex <= end.index {
                note(object, "not in the chain: an object that begins before it holds its entries")
                rest.removeFirst()
                continue
            } else if object.firstIndex > end.index + 1 {
                guard isMissing(before: rest) else { return leave(rest) }
                let missing = StoreLayout.log(firstIndex: end.index + 1)
                problems.append(
                    .init(
                        object: missing.rawValue,
                        what: "missing: no object holds entries \(end.index + 1) to \(object.firstIndex - 1)"))
                isLost = true
                continue
            } else if !chain.isContinued(by: header) {
                guard end.index < needed else { return leave(rest) }
                problems.append(
                    .init(
                        object: object.key.rawValue,
                        what:
                            "continues entry \(header.previous) in term \(header.term), but the log before it ends with entry \(end)"
                    ))
                isLost = true
                rest.removeFirst()
                continue
            }
            chain = LogChain.End(position: content.end, term: header.term, time: 0)
            end = content.end
            ends[end.index] = end
            rest.removeFirst()
        }
        if isLost { hidden.append(end.index + 1 ... .max) }
    }

    /// Whether what is before these objects must have been there: a checkpoint lies behind, or more objects follow each
    /// other than are ever under way at once.
    private func isMissing(before objects: ArraySlice<Object>) -> Bool {
        if end.index < needed { return true }
        var count = 0
        var last: LogChain.End?
        for object in objects {
            guard let content = object.content, last?.isContinued(by: content.header) ?? true else { break }
            last = LogChain.End(position: content.end, term: content.header.term, time: 0)
            count += 1
        }
        return count >= LogUploader.Settings.inFlightLimit
    }

    /// What is behind the end of the chain.
    private mutating func leave(_ objects: ArraySlice<Object>) {
        for object in objects where object.content != nil {
            note(
                object,
                "not in the chain, which ends with entry \(end): left by a node that died or was deposed, or what comes "
                    + "before it is still being uploaded")
        }
    }

    private mutating func checkEnds(from start: LogPosition) {
        for checkpoint in checkpoints where checkpoint.position.index > start.index {
            let position = checkpoint.position
            if ends[position.index] == position || hidden.contains(where: { $0.contains(position.index) }) { continue }
            let what =
                position.index > end.index
                ? "ends with entry \(position), the log with \(end): \(StoreLayout.log(firstIndex: end.index + 1)) is missing"
                : "ends with entry \(position), where no object of the log ends"
            problems.append(.init(object: checkpoint.key.rawValue, what: what))
        }
    }

    private mutating func note(_ object: Object, _ what: String) {
        notes.append(.init(object: object.key.rawValue, what: what))
    }
}
