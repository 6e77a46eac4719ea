import T4Protocols

/// Joins small objects of the chain into larger ones, so that their number follows the bytes written and not the writes.
///
/// The joined object takes the name of the first one, by compare-and-swap on the version that the uploader was given: only
/// then are the others deleted, whose names now lie inside its range, where readers ignore them (Rule L2). Only objects of
/// one run are joined, so that the first object of each term keeps its name.
package struct LogMerger: Sendable {
    /// Objects are joined up to this many bytes of frames.
    package var sizeMax = 8 << 20
    private let store: BlockingStore
    private let databaseID: DatabaseID
    private let term: UInt64
    private let readBack: LogUploader.ReadBack

    /// - Parameters:
    ///   - term: Of this run.
    ///   - readBack: Reads entries of the local log.
    package init(
        _ store: BlockingStore, databaseID: DatabaseID, term: UInt64, readBack: @escaping LogUploader.ReadBack
    ) {
        self.store = store
        self.databaseID = databaseID
        self.term = term
        self.readBack = readBack
    }

    /// Joins objects. None of them may end before a checkpoint that ends behind it, but for the last one.
    /// - Returns: How many objects there are less.
    /// - Throws: Of the store and of `readBack`. The chain holds what it held before, whatever happened.
    package func merge(_ objects: [LogUploader.Object]) throws -> Int {
        var removed = 0
        var group: [LogUploader.Object] = []
        var size = 0
        for object in objects {
            if let last = group.last, last.end != object.previous || size + object.size > sizeMax {
                removed += try join(group)
                (group, size) = ([], 0)
            }
            group.append(object)
            size += object.size
        }
        return removed + (try join(group))
    }

    private func join(_ group: [LogUploader.Object]) throws -> Int {
        guard group.count > 1, let first = group.first, let last = group.last else { return 0 }
        let entries = try readBack(first.previous.index + 1...last.end.index)
        guard entries.last?.position == last.end, entries.first?.position.index == first.previous.index + 1 else {
            throw LogError(
                .corrupted, "the local log does not hold all entries from \(first.previous) to \(last.end)", path: "")
        }
        let key = StoreLayout.log(firstIndex: first.previous.index + 1)
        let bytes = LogObject.encode(entries, databaseID: databaseID, term: term, previous: first.previous)
        do throws(ObjectStoreError) {
            _ = try store.put(key, bytes, when: .unchanged(since: first.version))
        } catch {
            // Whoever changed it knows why; what is not known to be joined is not deleted.
            guard error.code == .outcomeUnknown, try store.get(key).bytes == bytes else { throw error }
        }
        let names = group.dropFirst().map { StoreLayout.log(firstIndex: $0.previous.index + 1) }
        for start in stride(from: 0, to: names.count, by: LogMerger.deletesMax) {
            try store.delete(Array(names[start..<min(start + LogMerger.deletesMax, names.count)]))
        }
        return names.count
    }

    private static let deletesMax = 1000
}
