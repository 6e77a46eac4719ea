import Logging
import T4Protocols

@testable import T4Core

/// A history whose log is cut into objects, and the places where checkpoints of it may end.
struct CollectionScript: Sendable {
    static let databaseID = LogFixture.databaseID
    /// Where checkpoints end. The second merges all of the first one; the others add a table each. The last two have the
    /// same revision.
    static let ends = [10, 50, 54, 56]
    /// Where objects of the log end: few of them, because a collection reads many.
    static let objectEnds = [10, 20, 30, 40, 50, 54, 56, 60]
    /// The term of the node that uploaded each part of the log.
    static let termStarts: [(first: Int, term: UInt64)] = [(1, 1), (21, 2), (51, 3)]

    let entries: [LogEntry]
    let marks: [StateTrail.Mark]
    /// First index of each object of the chain, and its bytes.
    let objects: [(first: UInt64, bytes: [UInt8])]

    init() throws {
        let engine = try CheckpointHistory.makeEngine()
        var (entries, marks): ([LogEntry], [StateTrail.Mark]) = ([], [])
        var objects: [(UInt64, [UInt8])] = []
        var revision = Revision.initial
        for index in 1...60 {
            let term = CollectionScript.termStarts.last { $0.first <= index }!.term
            let hasRevision = ![55, 56].contains(index)
            if hasRevision { revision = revision.next }
            let record = StoredRecord(
                create: revision, mod: revision, version: 1, lease: 0, sub: 0, value: Array("value \(index)".utf8))
            let mutations: [Mutation] = hasRevision ? [.put(key: Array("key \(index)".utf8), record: record)] : []
            let entry = LogEntry(
                position: LogPosition(term: term, index: UInt64(index)), time: UInt64(index) * 1000,
                revision: hasRevision ? revision : .none, kind: .mutations, body: MutationCoding.encode(mutations))
            var replay = try LogReplay(on: engine)
            try replay.add(entry)
            try engine.apply(replay.finish(), at: entry.position)
            entries.append(entry)
            if CollectionScript.objectEnds.contains(index) {
                let start = CollectionScript.objectEnds.last { $0 < index } ?? 0
                let bytes = LogObject.encode(
                    Array(entries[start...]), databaseID: CollectionScript.databaseID, term: term,
                    previous: start > 0 ? entries[start - 1].position : .zero)
                objects.append((UInt64(start + 1), bytes))
            }
            if CollectionScript.ends.contains(index) {
                marks.append(
                    StateTrail.Mark(
                        position: entry.position, meta: try StateReader(engine.snapshot()).meta, time: entry.time))
            }
        }
        (self.entries, self.marks, self.objects) = (entries, marks, objects)
    }

    func checkpoints(_ store: any ObjectStore) -> CheckpointStore {
        CheckpointStore(BlockingStore(store), databaseID: CollectionScript.databaseID)
    }

    /// The object into which those of these entries are joined.
    func joined(_ range: ClosedRange<Int>) -> [UInt8] {
        let first = entries[range.lowerBound - 1]
        return LogObject.encode(
            Array(entries[range.lowerBound - 1..<range.upperBound]), databaseID: CollectionScript.databaseID,
            term: first.position.term, previous: entries[range.lowerBound - 2].position)
    }

    /// Joins the objects of these entries, as a node does after a checkpoint.
    /// - Parameter initial: What it has put there.
    func join(_ range: ClosedRange<Int>, _ initial: CollectionInitial, on store: any ObjectStore) throws {
        let ends = CollectionScript.objectEnds
        let pieces = zip([0] + ends, ends).filter { range.contains($0.0 + 1) }
        let objects = pieces.map { previous, end in
            let version = initial.objects[StoreLayout.log(firstIndex: UInt64(previous + 1)).rawValue]!.version
            return LogUploader.Object(
                previous: entries[previous - 1].position, end: entries[end - 1].position, size: 100,
                version: ObjectVersion("\(version)"))
        }
        let merger = LogMerger(
            BlockingStore(store), databaseID: CollectionScript.databaseID,
            term: entries[range.lowerBound - 1].position.term
        ) { entries in self.entries.filter { entries.contains($0.position.index) } }
        _ = try merger.merge(objects)
    }

    /// Writes the checkpoint of that number.
    @discardableResult
    func write(_ number: Int, on store: any ObjectStore) throws -> CheckpointWriter.Written? {
        let writer = CheckpointWriter(
            checkpoints(store), databaseID: CollectionScript.databaseID,
            author: .init(node: "node", engine: "memory", software: "test"), clock: Clock { 77 }
        ) { start, visit in
            for entry in entries.dropFirst(Int(start.index)) where try visit(entry) == .stop { return }
        }
        return try writer.write(marks[number])
    }

    func collector(_ store: any ObjectStore, keep: Int, retain: Duration = .zero, listSizeMax: Int = 1000) -> Collector
    {
        Collector(
            checkpoints(store), policy: CollectionPolicy(keep: keep, retain: retain), clock: Clock { 60_000 },
            logger: .silent, listSizeMax: listSizeMax)
    }

    func pins(_ store: any ObjectStore) -> PinBoard { PinBoard(checkpoints(store)) }

    /// A store with the whole log and the first checkpoints.
    func makeStorage(checkpoints count: Int = 2) throws -> SteppedStorage {
        let storage = SteppedStorage()
        let store = SteppedStore(storage)
        for (first, bytes) in objects {
            _ = try BlockingStore(store).put(StoreLayout.log(firstIndex: first), bytes, when: .absent)
        }
        for number in 0..<count { try write(number, on: store) }
        return storage
    }
}
