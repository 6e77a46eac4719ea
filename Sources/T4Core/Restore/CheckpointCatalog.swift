import T4Protocols

/// The checkpoints in a store, the oldest first, and what is known to be wrong with some of them.
struct CheckpointCatalog {
    /// A checkpoint's name, read.
    struct Name: Hashable {
        var key: ObjectKey
        var term: UInt64
        var revision: Revision
        /// In the name only where another checkpoint had that term and revision already.
        var index: UInt64?

        init?(_ key: ObjectKey) {
            guard let entry = CheckpointListing.Entry(key) else { return nil }
            (self.key, term, revision) = (key, entry.term, entry.revision)
            // `manifest.json` or `manifest-INDEX.json`
            index = UInt64(key.rawValue.dropLast(5).suffix(20))
        }
    }

    /// A checkpoint that cannot be restored.
    struct Damage {
        var key: ObjectKey
        var cause: any Error
        /// What its manifest says, where that can be read: its state can still be compared with.
        var manifest: Manifest?
    }

    /// All of them up to the one that the head names: what lies behind was never made the newest.
    private(set) var names: [Name] = []
    /// Those behind it too.
    private(set) var all: Set<ObjectKey> = []
    /// The head; nil where there is none, or a damaged one.
    private(set) var head: Head?
    /// The last entry up to which collections removed the log; some objects before it stay as fences. 0 where none did, or
    /// that cannot be read.
    private(set) var collectedIndex: UInt64 = 0
    /// Whether that cannot be read.
    private(set) var isCollectedIndexLost = false
    private(set) var warnings: [String] = []
    private let checkpoints: CheckpointStore
    private var damaged: Set<ObjectKey>
    private var lastRead: (key: ObjectKey, file: ManifestFile)?

    /// - Parameter damaged: Found out by an earlier attempt.
    init(_ checkpoints: CheckpointStore, without damaged: [Damage] = []) throws {
        self.checkpoints = checkpoints
        self.damaged = Set(damaged.map(\.key))
        for damage in damaged { warnings.append("\(damage.key) is damaged and was passed over: \(damage.cause)") }
        // In this order: what the head names is there when the names are listed, unless it is removed.
        do {
            head = try checkpoints.head()?.head
        } catch let error as CheckpointError where error.code == .corrupted {
            warnings.append("\(error); the newest checkpoint that can be read counts instead")
        }
        var kept: [String] = []
        do {
            let floor = try checkpoints.collectionState()?.object.floor
            collectedIndex = floor?.logIndex ?? 0
            kept = floor?.kept ?? []
        } catch let error as CheckpointError where error.code == .corrupted {
            isCollectedIndexLost = true
            warnings.append("\(error); whether the log reaches back is seen by its objects alone")
        }
        names = try checkpoints.checkpoints().compactMap { Name($0) }
        all = Set(names.map(\.key))
        for name in kept where !all.contains(ObjectKey(name)) {
            warnings.append("\(name) is missing, although \(StoreLayout.collectionState) says that it is kept")
        }
        try sort()
        guard let head else { return }
        if let newest = names.lastIndex(where: { $0.key.rawValue == head.checkpoint }) {
            names.removeSubrange((newest + 1)...)
        } else {
            names.removeAll { ($0.term, $0.revision.rawValue) > (head.term, head.revision) }
        }
    }

    /// By term, revision and index. Of one revision the oldest mostly has no index in its name, but not where an older
    /// one of that name was deleted.
    private mutating func sort() throws {
        names.sort { ($0.term, $0.revision, $0.index ?? 0) < ($1.term, $1.revision, $1.index ?? 0) }
        for (place, next) in zip(names.indices, names.indices.dropFirst()) where names[place].index == nil {
            let (name, follower) = (names[place], names[next])
            guard (name.term, name.revision) == (follower.term, follower.revision) else { continue }
            names[place].index = try file(name)?.checkpoint.index
        }
        names.sort { ($0.term, $0.revision, $0.index ?? 0) < ($1.term, $1.revision, $1.index ?? 0) }
    }

    /// The manifest; nil when it cannot be used, which becomes a warning.
    mutating func file(_ name: Name) throws -> ManifestFile? {
        if damaged.contains(name.key) { return nil }
        if let lastRead, lastRead.key == name.key { return lastRead.file }
        do {
            let file = try checkpoints.manifest(name.key)
            lastRead = (name.key, file)
            return file
        } catch let error where CheckpointCatalog.isDamage(error) {
            damaged.insert(name.key)
            warnings.append("\(name.key) was passed over: \(error)")
            return nil
        }
    }

    /// The newest of the first `count` checkpoints that can be read.
    mutating func newest(ofFirst count: Int) throws -> (place: Int, file: ManifestFile)? {
        for place in names.indices.prefix(count).reversed() {
            if let file = try file(names[place]) { return (place, file) }
        }
        return nil
    }

    /// The oldest from place `first` on that can be read.
    mutating func oldest(from first: Int) throws -> (place: Int, file: ManifestFile)? {
        for place in names.indices.dropFirst(first) {
            if let file = try file(names[place]) { return (place, file) }
        }
        return nil
    }

    /// How many of the oldest checkpoints end at that time or before; only a few manifests are read.
    mutating func count(until time: UInt64) throws -> Int {
        var (low, high) = (0, names.count)
        while low < high {
            let middle = (low + high) / 2
            // One that cannot be read counts with those before it.
            guard let (place, file) = try oldest(from: middle), place < high else {
                high = middle
                continue
            }
            if file.envelope.commitTime <= time { low = place + 1 } else { high = middle }
        }
        return low
    }

    /// Whether an error means that the object is not what it must be, or is missing. One of a later version is what it must
    /// be.
    static func isDamage(_ error: any Error) -> Bool {
        switch error {
        case let error as CheckpointError: error.code == .corrupted
        case let error as ObjectStoreError: error.code == .notFound || error.code == .corrupted
        default: false
        }
    }
}
