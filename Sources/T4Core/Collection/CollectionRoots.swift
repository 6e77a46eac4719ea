import T4Protocols

/// What is in use, and what that leaves to be condemned. Reads the store and changes nothing.
///
/// Any error means that something may be in use that cannot be seen: nothing may be deleted then (Rule G1).
struct CollectionRoots {
    private let checkpoints: CheckpointStore
    /// What held before this collection.
    private let before: CollectionFloor
    /// The newest checkpoint when the collection began.
    private let head: Head?
    private var trail: HeadTrail
    /// Names of tables that are used.
    private(set) var tables: Set<String> = []
    /// Checkpoints, each with its last entry, that stay although others of their age go.
    private(set) var kept: [ObjectKey: UInt64] = [:]
    /// Where the log may be cut.
    private(set) var logCut: UInt64 = 0
    /// Manifests that were marked.
    private var marked: Set<ObjectKey> = []
    /// Checkpoints that are no newer than the head and are not kept.
    private(set) var older: [ObjectKey] = []
    private(set) var pins: Set<String> = []
    private(set) var lapsedPins: Set<String> = []

    /// Looks for the first time.
    /// - Parameter windowStart: From this moment on every moment can be restored; nanoseconds since 1970.
    init(_ checkpoints: CheckpointStore, before: CollectionFloor, keep: Int, windowStart: UInt64) throws {
        self.checkpoints = checkpoints
        self.before = before
        head = try checkpoints.head()?.head
        trail = HeadTrail(checkpoints, floor: before, head: head)
        try mark(head: head)
        try markWindow(keep: keep, windowStart: windowStart)
        older = try markNewer(listingOlder: true)
        try markPins()
    }

    /// What this collection condemns, but for the log.
    var floor: CollectionFloor {
        var floor = before
        floor.index = max(before.index, head?.index ?? 0)
        floor.kept = kept.sorted { ($0.value, $0.key) < ($1.value, $1.key) }.map(\.key.rawValue)
        return floor
    }

    var condemnedCheckpoints: [ObjectKey] { older.filter { kept[$0] == nil } }

    /// Looks again, after it was said what is condemned: whoever pinned something or wrote a checkpoint meanwhile is seen
    /// here, or sees there that it came too late.
    mutating func lookAgain() throws {
        try mark(head: checkpoints.head()?.head)
        _ = try markNewer(listingOlder: false)
        try markPins()
    }

    /// The newest checkpoints, those in the window, and the one with which a restore to the start of the window begins.
    private mutating func markWindow(keep: Int, windowStart: UInt64) throws {
        var coversWindow = false
        while trail.read.count < keep || !coversWindow, let element = try trail.readNext() {
            let index = element.file.checkpoint.index
            kept[element.key] = index
            mark(element.key, element.file)
            if element.file.envelope.commitTime <= windowStart { coversWindow = true }
            // Without a checkpoint from before the window all of the log may be needed.
            if coversWindow { logCut = max(before.logIndex, index) }
        }
        if !coversWindow { logCut = before.logIndex }
    }

    /// Checkpoints newer than the head: their writers may be about to make them the newest.
    private mutating func markNewer(listingOlder: Bool) throws -> [ObjectKey] {
        var newer: [ObjectKey] = []
        var older: [ObjectKey] = []
        let limit = head.map { ($0.term, UInt64($0.revision)) }
        try checkpoints.store.list(StoreLayout.checkpoints) { object in
            guard let place = StoreLayout.checkpoint(object.key) else { return }
            if let limit, (place.term, place.revision) < limit {
                if listingOlder { older.append(object.key) }
            } else {
                newer.append(object.key)
            }
        }
        for key in newer where !marked.contains(key) {
            // Of the same revision, older and newer ones can be told by their last entry alone.
            let file = try checkpoints.manifest(key)
            if let head, file.checkpoint.index <= head.index {
                if listingOlder { older.append(key) }
            } else {
                mark(key, file)
            }
        }
        return older
    }

    private mutating func markPins() throws {
        let board = PinBoard(checkpoints)
        for kind in PinKind.allCases {
            for (key, pin) in try board.placed(kind) { try mark(pin, at: key, name: "\(kind.rawValue)/\(pin.id)") }
        }
    }

    private mutating func mark(_ pin: Pin, at place: ObjectKey, name: String) throws {
        let key = ObjectKey(pin.checkpoint)
        // Where it may not hold its writer will see that, too, and give up.
        guard before.holds(key, index: pin.index), !pin.keepsLog || before.logIndex <= pin.index else {
            lapsedPins.insert(name)
            return
        }
        if pin.index <= head?.index ?? 0 {
            guard try trail.holds(key, index: pin.index) else {
                lapsedPins.insert(name)
                return
            }
            kept[key] = pin.index
        }
        do {
            try mark(key)
        } catch let error as ObjectStoreError where error.code == .notFound {
            throw CheckpointError(
                .corrupted,
                "\(place) pins \(key), which is not there although no collection deleted it; if nobody needs it remove "
                    + "\(place)"
            )
        }
        if pin.keepsLog { logCut = min(logCut, pin.index) }
        pins.insert(name)
    }

    private mutating func mark(head: Head?) throws {
        if let head { mark(ObjectKey(head.checkpoint), try checkpoints.manifest(of: head)) }
    }

    private mutating func mark(_ key: ObjectKey) throws {
        if !marked.contains(key) { mark(key, try checkpoints.manifest(key)) }
    }

    private mutating func mark(_ key: ObjectKey, _ file: ManifestFile) {
        marked.insert(key)
        // Tables of a parent lie under its prefix, and are its business.
        for place in file.envelope.places.values where place.prefix == nil { tables.insert(place.key) }
    }
}
