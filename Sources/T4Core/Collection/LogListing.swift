import T4Protocols

/// The objects of the log up to where it may be cut, listed once, and again where objects were joined meanwhile.
struct LogListing {
    struct Element {
        var first: UInt64
        var size: UInt64

        var key: ObjectKey { StoreLayout.log(firstIndex: first) }
    }

    private let store: BlockingStore
    private let databaseID: DatabaseID
    private let before: CollectionFloor
    private let cutMax: UInt64
    private var elements: [Element] = []
    private var fences: LogFences
    /// Listings while objects are joined; a node joins them once after a checkpoint.
    private static let listingsMax = 16

    /// - Parameters:
    ///   - floor: Where the last collection left the log.
    ///   - cut: No later cut will be asked for.
    init(_ store: BlockingStore, databaseID: DatabaseID, floor: CollectionFloor, cut: UInt64) throws {
        (self.store, self.databaseID, before, cutMax) = (store, databaseID, floor, cut)
        fences = LogFences(store, databaseID: databaseID, floor: floor, objects: [])
        try list()
    }

    private mutating func list() throws {
        var elements: [Element] = []
        try store.list(StoreLayout.log, through: StoreLayout.log(firstIndex: cutMax)) { object in
            if let first = StoreLayout.firstIndex(object.key) {
                elements.append(Element(first: first, size: object.size))
            }
        }
        self.elements = elements
        let logIndex = before.logIndex
        fences = LogFences(
            store, databaseID: databaseID, floor: before, objects: elements.filter { $0.first > logIndex })
    }

    /// The floor with the log cut there.
    ///
    /// Objects are never joined across the end of a checkpoint (`ChainJoiner`): what is joined meanwhile holds entries on
    /// one side of the cut only, so that the names below it stay those that may go.
    mutating func cut(_ floor: CollectionFloor, at index: UInt64) throws -> CollectionFloor {
        var listings = 1
        while true {
            do {
                let cut = try fences.floor(at: index)
                var floor = floor
                (floor.logIndex, floor.logTerm, floor.fences) = (cut.logIndex, cut.logTerm, cut.fences)
                return floor
            } catch let change as LogFences.Changed {
                guard listings < LogListing.listingsMax else {
                    throw CheckpointError(
                        .interrupted, "objects of the log change all the time, \(change.key) just now; try again later")
                }
                listings += 1
                try list()
            }
        }
    }

    /// What goes under a floor: also what late puts of deposed leaders left below an earlier one.
    func garbage(under floor: CollectionFloor) -> [Element] {
        let fences = Set(floor.fences)
        return elements.filter { $0.first <= floor.logIndex && !fences.contains($0.first) }
    }
}
