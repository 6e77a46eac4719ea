package import T4Protocols

/// The log in the object store: the objects in which each continues its predecessor (Rule L2).
///
/// Blocks; see `BlockingStore`.
package struct LogChain: Sendable {
    /// How far a reading came.
    package struct End: Hashable, Sendable {
        /// The last entry of the chain.
        package var position: LogPosition
        /// Term in the header of the last object; that of the start when none was read.
        package var term: UInt64
        /// Commit time of the last entry; 0 when none was read.
        package var time: UInt64
        /// Objects read.
        package var objectCount = 0
        /// The last object read; nil when none was.
        package var lastObject: ObjectInfo?

        /// Whether an object with this header is the next one of the chain.
        package func isContinued(by header: SegmentHeader) -> Bool {
            header.previous == position && header.term >= term
        }
    }

    package let store: BlockingStore
    package let databaseID: DatabaseID
    /// Objects that are read ahead.
    private static let aheadMax = 8

    package init(_ store: BlockingStore, databaseID: DatabaseID) {
        self.store = store
        self.databaseID = databaseID
    }

    /// Visits the entries behind `start`, which must be the end of a checkpoint or the start of the log.
    ///
    /// What follows must not have a lower term in its header than the object that ends at `start`. That one is not read: a
    /// node makes no checkpoint before the first entry of its own term is in the chain, so that the last entry of a
    /// checkpoint has the term of the header that it was uploaded under.
    ///
    /// Objects that do not continue the chain are left by a deposed leader and end it.
    /// - Throws: `LogError` of a damaged object, named; of the store; of `visit`.
    package func read(
        after start: LogPosition, objectDone: (End) throws -> Void = { _ in },
        visit: (LogEntry) throws -> LogStep
    ) throws -> End {
        var visited = start.index
        var restarts = 0
        while true {
            do {
                return try readListed(after: start, visited: &visited, objectDone, visit)
            } catch let error as Vanished {
                // Only the start is sure to be the end of an object still.
                restarts += 1
                guard restarts <= LogChain.restartsMax else { throw error.cause }
            }
        }
    }

    /// An object was listed and is gone: joined with those before it, or collected.
    private struct Vanished: Error {
        var cause: ObjectStoreError
    }

    /// Times that a reading begins again, because objects were joined meanwhile.
    private static let restartsMax = 16

    private func readListed(
        after start: LogPosition, visited: inout UInt64, _ objectDone: (End) throws -> Void,
        _ visit: (LogEntry) throws -> LogStep
    ) throws -> End {
        var end = End(position: start, term: start.term, time: 0)
        let firstNew = visited
        var names: [UInt64] = []
        let before = start.index == 0 ? nil : StoreLayout.log(firstIndex: start.index)
        try store.list(StoreLayout.log, after: before) { object in
            if let index = StoreLayout.firstIndex(object.key), index > start.index { names.append(index) }
        }
        var ahead: [(index: UInt64, pending: BlockingStore.Pending<StoredBytes>)] = []
        var rest = names[...]
        while true {
            while ahead.count < LogChain.aheadMax, let index = rest.popFirst() {
                let key = StoreLayout.log(firstIndex: index)
                ahead.append((index, store.start { (s) throws(ObjectStoreError) in try await s.get(key, bytes: nil) }))
            }
            guard let next = ahead.first else { return end }
            ahead.removeFirst()
            // Names in between belong to orphans inside the range of an object of the chain, or were joined into it.
            if next.index <= end.position.index { continue }
            guard next.index == end.position.index + 1 else { return end }
            let key = StoreLayout.log(firstIndex: next.index)
            let stored: StoredBytes
            do throws(ObjectStoreError) {
                stored = try next.pending.wait()
            } catch {
                throw error.code == .notFound ? Vanished(cause: error) : error
            }
            let object = try LogObject(stored.bytes, key: key, databaseID: databaseID)
            guard end.isContinued(by: object.header) else { return end }
            for entry in object.entries where entry.position.index > visited {
                visited = entry.position.index
                if try visit(entry) == .stop { return end }
            }
            end = End(
                position: object.end, term: object.header.term, time: object.footer.tally.lastTime,
                objectCount: end.objectCount + 1, lastObject: stored.info)
            if end.position.index > firstNew { try objectDone(end) }
        }
    }
}
