import T4Protocols
import Testing

@testable import T4Core

/// What the objects of an intact database lead to, told from the objects alone.
struct StoredObjects: Sendable {
    private struct Piece {
        var key: ObjectKey
        var first: UInt64
        var end: UInt64
    }

    private struct Checkpoint {
        var index: UInt64
        /// Its manifest and its tables.
        var needs: Set<ObjectKey>
    }

    let prefix: String
    /// Index of the last entry.
    let end: UInt64
    /// By revision, the entry that made it.
    private(set) var revisions: [Revision: UInt64] = [:]
    /// What nobody needs: left by merges, or by a collection that died.
    private(set) var garbage: Set<ObjectKey> = []
    /// What the shortest way to the end reads: the newest checkpoint, and the log behind it.
    private(set) var needed: Set<ObjectKey> = []
    private var log: [Piece] = []
    private var checkpoints: [Checkpoint] = []
    private var logStart: UInt64 = 0

    init(_ objects: [ObjectKey: [UInt8]], _ prefix: String) throws {
        self.prefix = prefix
        func name(_ key: ObjectKey) -> ObjectKey { ObjectKey(prefix + key.rawValue) }
        let database = try DatabaseObject.decode(try #require(objects[name(StoreLayout.database)]))
        let own = objects.filter { $0.key.rawValue.hasPrefix(prefix) }.sorted { $0.key < $1.key }
        var lists: [CondemnedList] = []
        if let bytes = objects[name(StoreLayout.collectionState)] {
            logStart = try CollectionState.decode(bytes, key: StoreLayout.collectionState).floor.logIndex
        }
        var chainEnd: UInt64 = 0
        for (key, bytes) in own {
            let inside = ObjectKey(String(key.rawValue.dropFirst(prefix.count)))
            if StoreLayout.firstIndex(inside) != nil {
                let object = try LogObject(bytes, key: inside, databaseID: database.id)
                log.append(Piece(key: key, first: object.header.firstIndex, end: object.end.index))
                chainEnd = object.end.index
                for entry in object.entries where entry.revision != .none {
                    revisions[entry.revision] = entry.position.index
                }
            } else if StoreLayout.isCheckpoint(inside) {
                let file = try ManifestFile.decode(bytes, key: inside)
                let tables = file.envelope.places.values.map { ObjectKey(($0.prefix ?? prefix) + $0.key) }
                checkpoints.append(Checkpoint(index: file.checkpoint.index, needs: Set(tables + [key])))
            } else if StoreLayout.condemnedList(inside) != nil {
                lists.append(try CondemnedList.decode(bytes, key: inside))
            }
        }
        end = chainEnd
        if let newest = checkpoints.max(by: { $0.index < $1.index }) {
            needed = newest.needs.union([name(StoreLayout.database), name(StoreLayout.head)])
            needed.formUnion(log.filter { $0.first > newest.index }.map(\.key))
        }
        garbage = Set(own.map(\.key).filter { $0.rawValue.hasPrefix(prefix + StoreLayout.tables.rawValue) })
        garbage.subtract(checkpoints.flatMap(\.needs))
        for list in lists {
            garbage.formUnion((list.checkpoints + list.tables).map { ObjectKey(prefix + $0) })
            garbage.formUnion(log.filter { $0.first <= list.logIndex && !list.fences.contains($0.first) }.map(\.key))
        }
    }

    /// Entries of each object of the log.
    var logSizes: [UInt64] { log.map { $0.end - $0.first + 1 } }

    /// The revision where the log ends if an object of it that no checkpoint covers is lost; nil for other objects, and
    /// where the way to that entry ends before.
    func revision(without key: ObjectKey, at index: UInt64 = .max) -> Revision? {
        guard let lost = log.first(where: { $0.key == key }), lost.first <= index,
            checkpoints.allSatisfy({ $0.index < lost.first })
        else { return nil }
        return revisions.filter { $0.value < lost.first }.keys.max()
    }

    /// Whether the others lead to the state after an entry without that object.
    func lead(to index: UInt64, without key: ObjectKey) -> Bool {
        if key.rawValue == prefix + StoreLayout.database.rawValue { return false }
        var starts = checkpoints.filter { !$0.needs.contains(key) && $0.index >= logStart }.map(\.index)
        if logStart == 0 { starts.append(0) }
        return starts.contains { start in
            var reached = start
            for piece in log where piece.first == reached + 1 && piece.key != key { reached = piece.end }
            return start <= index && reached >= index
        }
    }
}
