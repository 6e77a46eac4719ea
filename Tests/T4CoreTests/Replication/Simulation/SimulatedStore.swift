import T4Protocols

@testable import T4Core

/// An entry of a simulated log.
struct SimulatedEntry: Hashable {
    var term: UInt64
    var index: UInt64
    /// What it writes; no two writes are equal.
    var value: UInt64

    var position: LogPosition { LogPosition(term: term, index: index) }
}

/// An object of the log in the store.
struct SimulatedObject: Hashable {
    /// The uploader's term.
    var header: UInt64
    var previous: LogPosition
    var entries: [SimulatedEntry]

    var name: UInt64 { previous.index + 1 }
    var last: LogPosition { entries.last?.position ?? previous }
}

/// The newest checkpoint.
struct SimulatedHead: Hashable {
    var covered = LogPosition.zero
    var header: UInt64 = 0
    /// A digest of all writes up to there.
    var digest: UInt64 = 0
    /// Names of objects that are never deleted.
    var fences: Set<UInt64> = []
}

/// The content of the object store: what is read is what was written.
struct SimulatedStore {
    var record: LeaderRecord?
    /// Swaps that were ever sent: each may land as long as the record is there that it replaces.
    var swaps: [(replaced: LeaderRecord?, record: LeaderRecord)] = []
    var objects: [UInt64: SimulatedObject] = [:]
    var head = SimulatedHead()
    /// Requests of the election so far.
    var electionRequests = 0

    /// What a reader takes for the log.
    struct Chain {
        var head: SimulatedHead
        var entries: [SimulatedEntry] = []
        var header: UInt64
        /// Ends of objects, their header terms and the digests of all up to there.
        var ends: [(position: LogPosition, header: UInt64, digest: UInt64)] = []
        /// Names of the first object of each header term.
        var fences: Set<UInt64>
        var names: Set<UInt64> = []
        var last: LogPosition { entries.last?.position ?? head.covered }

        var view: ChainView {
            var log = TermLog(base: head.covered)
            for entry in entries { log.append(term: entry.term) }
            return ChainView(log: log, headerTerm: header)
        }
    }

    var chain: Chain {
        var chain = Chain(head: head, header: head.header, fences: head.fences)
        var digest = head.digest
        while let object = objects[chain.last.index + 1], object.previous == chain.last, object.header >= chain.header {
            if object.header > chain.header { chain.fences.insert(object.name) }
            chain.header = object.header
            chain.names.insert(object.name)
            chain.entries += object.entries
            for entry in object.entries { digest = combine(digest, entry) }
            chain.ends.append((object.last, object.header, digest))
        }
        return chain
    }
}

/// A digest of a sequence of entries.
func combine(_ digest: UInt64, _ entry: SimulatedEntry) -> UInt64 {
    (digest ^ entry.value ^ entry.term << 48) &* 0x9e37_79b9_7f4a_7c15 &+ entry.index
}
