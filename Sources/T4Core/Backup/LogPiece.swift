import T4Protocols

/// Puts consecutive entries into a store, as objects of the log of about 4 MiB.
struct LogPiece {
    private static let objectSize = 4 << 20

    private let database: DatabaseID
    private let store: BlockingStore
    private var written: LogPosition
    private var entries: [LogEntry] = []
    private var size = 0

    /// - Parameter start: The entry before the first one.
    init(of database: DatabaseID, behind start: LogPosition, in store: BlockingStore) {
        self.database = database
        self.store = store
        written = start
    }

    /// The last entry that was added.
    var end: LogPosition { entries.last?.position ?? written }

    mutating func add(_ entry: LogEntry) throws {
        entries.append(entry)
        size += LogFormat.frameSize(entry)
        if size >= LogPiece.objectSize { try finish() }
    }

    /// Puts what was added and is not in the store yet.
    mutating func finish() throws {
        guard let last = entries.last else { return }
        let bytes = LogObject.encode(
            entries, databaseID: database, term: last.position.term, previous: written)
        _ = try store.put(StoreLayout.log(firstIndex: written.index + 1), bytes, when: .absent)
        (written, entries, size) = (last.position, [], 0)
    }
}
