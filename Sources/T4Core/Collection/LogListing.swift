import T4Protocols

/// The objects of the log up to where it may be cut, listed once.
struct LogListing {
    struct Element {
        var first: UInt64
        var size: UInt64

        var key: ObjectKey { StoreLayout.log(firstIndex: first) }
    }

    private let elements: [Element]
    private var fences: LogFences

    /// - Parameters:
    ///   - floor: Where the last collection left the log.
    ///   - cut: No later cut will be asked for.
    init(_ store: BlockingStore, databaseID: DatabaseID, floor: CollectionFloor, cut: UInt64) throws {
        var elements: [Element] = []
        try store.list(StoreLayout.log, through: StoreLayout.log(firstIndex: cut)) { object in
            if let first = StoreLayout.firstIndex(object.key) {
                elements.append(Element(first: first, size: object.size))
            }
        }
        self.elements = elements
        fences = LogFences(
            store, databaseID: databaseID, floor: floor, objects: elements.filter { $0.first > floor.logIndex })
    }

    /// The floor with the log cut there.
    mutating func cut(_ floor: CollectionFloor, at index: UInt64) throws -> CollectionFloor {
        let cut = try fences.floor(at: index)
        var floor = floor
        (floor.logIndex, floor.logTerm, floor.fences) = (cut.logIndex, cut.logTerm, cut.fences)
        return floor
    }

    /// What goes under a floor: also what late puts of deposed leaders left below an earlier one.
    func garbage(under floor: CollectionFloor) -> [Element] {
        let fences = Set(floor.fences)
        return elements.filter { $0.first <= floor.logIndex && !fences.contains($0.first) }
    }
}
