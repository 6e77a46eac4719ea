import T4Protocols

/// The checkpoints that are or were the newest one, the newest first, as far as they are kept.
///
/// Each names the one before it, down to those that the floor names. Other manifests are left by writers that died or
/// were too late; nobody may rely on them.
struct HeadTrail {
    struct Element {
        var key: ObjectKey
        var file: ManifestFile
    }

    private let checkpoints: CheckpointStore
    private let floor: CollectionFloor
    /// The next one by the links; nil below the floor.
    private var next: ObjectKey?
    /// Those that the floor names, once the links lead there.
    private var rest: ArraySlice<Element>?
    private(set) var read: [Element] = []

    init(_ checkpoints: CheckpointStore, floor: CollectionFloor, head: Head?) {
        self.checkpoints = checkpoints
        self.floor = floor
        next = head.map { ObjectKey($0.checkpoint) }
    }

    /// The one before the last; nil at the end.
    /// - Throws: Also when a checkpoint is missing to which the links lead.
    mutating func readNext() throws -> Element? {
        let element: Element?
        if let key = next, !floor.kept.contains(key.rawValue) {
            let file = try checkpoints.manifest(key)
            next = file.envelope.previous.map { ObjectKey($0) }
            element = Element(key: key, file: file)
        } else {
            next = nil
            if rest == nil {
                let kept = try floor.kept.map { name in
                    Element(key: ObjectKey(name), file: try checkpoints.manifest(ObjectKey(name)))
                }
                rest = kept.sorted { $0.file.checkpoint.index > $1.file.checkpoint.index }[...]
            }
            element = rest?.popFirst()
        }
        if let element { read.append(element) }
        return element
    }

    /// Whether that checkpoint, which ends with the entry `index`, is or was the newest one.
    mutating func holds(_ key: ObjectKey, index: UInt64) throws -> Bool {
        if floor.kept.contains(key.rawValue) { return true }
        while read.last.map({ $0.file.checkpoint.index > index }) ?? true {
            guard try readNext() != nil else { break }
        }
        return read.contains { $0.key == key }
    }
}
