import T4Protocols

/// Which checkpoints are or were the newest: from the head each names the one before it, down to those that collections have
/// kept. Others are left by writers that died or came too late; nobody may rely on them, and parts of them may be gone.
struct CheckpointTrail {
    /// Names, as far as they could be followed.
    private(set) var names: Set<ObjectKey> = []
    /// Names that lead to nothing, and what is to be said of that.
    private(set) var missing: [ObjectKey: String] = [:]
    /// Whether the trail could be followed to its end.
    private var isWhole = true
    private var floorIndex: UInt64 = 0

    init() {}

    /// - Parameters:
    ///   - checkpoints: Those that can be read.
    ///   - head: Nil where there is none, or a damaged one.
    ///   - hasHead: Whether there is one, damaged or not.
    ///   - listed: Names of all checkpoints, damaged or not.
    ///   - floor: Nil where it cannot be told what collections have removed.
    init(
        _ checkpoints: [StoreVerification.Checkpoint], head: Head?, hasHead: Bool, listed: Set<ObjectKey>,
        floor: CollectionFloor?
    ) {
        let files = Dictionary(checkpoints.map { ($0.key, $0.file) }, uniquingKeysWith: { first, _ in first })
        floorIndex = floor?.index ?? 0
        names = Set((floor?.kept ?? []).map { ObjectKey($0) })
        for name in names where !listed.contains(name) {
            missing[name] = "missing, although \(StoreLayout.collectionState) says that it is kept"
        }
        // A first checkpoint is there before the head is.
        isWhole = head != nil || !hasHead && listed.count == 1
        var next = head.map { (key: ObjectKey($0.checkpoint), by: "\(StoreLayout.head) names it") }
        while let (key, by) = next, names.insert(key).inserted {
            guard let file = files[key] else {
                isWhole = false
                let mayBeCollected = floor == nil && key.rawValue != head?.checkpoint
                if !listed.contains(key), !mayBeCollected { missing[key] = "missing, although \(by)" }
                return
            }
            next = file.envelope.previous.map { (ObjectKey($0), "it was the newest before \(key)") }
        }
    }

    /// Whether somebody may rely on a checkpoint, as far as that can be told.
    func holds(_ checkpoint: StoreVerification.Checkpoint) -> Bool {
        names.contains(checkpoint.key) || (!isWhole && checkpoint.file.checkpoint.index > floorIndex)
    }
}
