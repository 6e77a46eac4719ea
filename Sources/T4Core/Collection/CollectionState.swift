package import T4Protocols

/// The object `gc/state`: how far collections of garbage have come. Replaced only by compare-and-swap.
package struct CollectionState: SealedObject {
    /// What the last collection that began is doing, or was when it died.
    package enum Phase: String, Hashable, Sendable, Codable {
        /// It is done.
        case idle
        /// It looks for what is in use.
        case marking
        /// It has said what it means to delete, and looks again.
        case condemned
        /// It deletes what its list names.
        case sweeping
    }

    package var format = 1
    package var database: String
    /// One more with each swap.
    package var sequence: UInt64
    package var nonce: String
    /// One more with each collection; stands in the names of tables, and of the list of what is deleted.
    package var epoch: UInt64
    package var phase: Phase
    /// What holds for good, whatever becomes of the collection that set it.
    package var floor: CollectionFloor
    /// What will hold if the collection under way gets to sweep.
    package var condemned: CollectionFloor?
    /// Epoch of the list whose sweep is not known to be complete.
    package var unswept: UInt64?
    package var sum = ""

    /// Before the first collection.
    package init(_ databaseID: DatabaseID) {
        database = databaseID.description
        sequence = 0
        nonce = ""
        epoch = 0
        phase = .idle
        floor = CollectionFloor()
    }

    /// Whether a checkpoint will stay, as far as collections have said yet.
    package func holds(_ checkpoint: ObjectKey, index: UInt64) -> Bool {
        floor.holds(checkpoint, index: index) && condemned?.holds(checkpoint, index: index) != false
    }

    /// Whether all entries behind that one will stay in the log, as far as collections have said yet.
    package func holdsLog(after index: UInt64) -> Bool {
        floor.logIndex <= index && (condemned?.logIndex ?? 0) <= index
    }
}

/// Below it only what it names is left. It never falls, and what it does not name never comes back: a name that shows up
/// again is from a writer that was stopped long ago, and means nothing.
package struct CollectionFloor: Hashable, Sendable, Codable {
    /// Of the checkpoints that end at or before this entry
    package var index: UInt64 = 0
    /// only these are kept. Each of them was the newest one at some time.
    package var kept: [String] = []
    /// Of the objects of the log, entries up to this one, where one of them ends,
    package var logIndex: UInt64 = 0
    /// term in the header of that one,
    package var logTerm: UInt64 = 0
    /// only those with these first indexes are kept: the first one of each term.
    package var fences: [UInt64] = []

    package init() {}

    func holds(_ checkpoint: ObjectKey, index: UInt64) -> Bool {
        index > self.index || kept.contains(checkpoint.rawValue)
    }
}

/// The object `gc/condemned/EPOCH`: what one collection deletes, complete before the first deletion.
package struct CondemnedList: SealedObject {
    package var format = 1
    package var database: String
    package var epoch: UInt64
    package var nonce: String
    /// Names of manifests.
    package var checkpoints: [String]
    /// Names of tables, each of an earlier epoch.
    package var tables: [String]
    /// Objects of the log whose first index is at most this one,
    package var logIndex: UInt64
    /// but for these first indexes.
    package var fences: [UInt64]
    package var sum = ""
}
