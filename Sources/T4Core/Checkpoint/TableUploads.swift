import T4Protocols

/// Tables on their way into the store.
final class TableUploads {
    private let checkpoints: CheckpointStore
    /// In the names of new tables.
    private let epoch: UInt64
    private let files: TableFiles?
    private let isEnding: () -> Bool
    private var places: [String: ManifestFile.Place] = [:]
    /// Bytes of the latest tables of this checkpoint: a merge may want them again.
    private var written: [String: [UInt8]] = [:]
    private var writtenSize = 0
    private var pending: [(id: String, isFile: Bool, put: BlockingStore.Pending<ObjectVersion>)] = []
    /// Tables in `written` that are in the store, the oldest first.
    private var uploaded: [String] = []
    /// Tables that are being uploaded at once.
    private static let pendingMax = 4
    /// Bytes of tables that are kept although they are in the store.
    private static let writtenSizeMax = 128 << 20
    private(set) var newCount = 0
    private(set) var newSize = 0

    /// - Parameters:
    ///   - known: The checkpoint that the head names; no other tables are used again.
    ///   - files: Tables that can be used without being in the store.
    ///   - isEnding: Nothing is uploaded any more once it is true.
    init(
        _ checkpoints: CheckpointStore, known: ManifestFile?, epoch: UInt64, files: TableFiles?,
        isEnding: @escaping () -> Bool
    ) {
        self.checkpoints = checkpoints
        self.epoch = epoch
        self.files = files
        self.isEnding = isEnding
        places = known?.envelope.places ?? [:]
    }

    /// Tables that lie under another prefix of the store, or under the one that they were inherited from there.
    func inherit(_ inherited: [String: ManifestFile.Place], from prefix: String) {
        places = inherited.mapValues { place in
            var place = place
            place.prefix = place.prefix ?? prefix
            return place
        }
    }

    func put(_ table: Table) throws {
        let id = table.id.description
        if places[id] != nil { return }
        try start(id, table.id, .bytes(table.bytes), size: table.bytes.count)
        written[id] = table.bytes
        writtenSize += table.bytes.count
    }

    /// Uploads those of these tables that lie in files and not in the store.
    func putFiles(of tables: [Manifest.TableEntry]) throws {
        guard let files else { return }
        for table in tables where places[table.id] == nil {
            guard let id = TableID(hex: table.id), let size = files.size(of: table.id) else { continue }
            try start(table.id, id, .file(path: files.path(of: table.id)), size: size, isFile: true)
        }
    }

    private func start(
        _ name: String, _ id: TableID, _ payload: Payload, size: Int, isFile: Bool = false
    ) throws {
        if pending.count >= TableUploads.pendingMax { try waitForFirst() }
        if isEnding() { throw CheckpointError.stopping }
        let key = StoreLayout.table(id, epoch: epoch)
        // Whoever writes under this name writes the same rows, so that what is there may be replaced.
        let put = checkpoints.store.start { (store) throws(ObjectStoreError) in
            try await store.put(key, payload, when: .always)
        }
        pending.append((name, isFile, put))
        places[name] = ManifestFile.Place(key: key, size: UInt64(size))
        newCount += 1
        newSize += size
    }

    func open(_ entry: Manifest.TableEntry) throws -> TableReader {
        let id = TableID(hex: entry.id)
        if let bytes = written[entry.id] { return try TableReader(name: "sst/\(entry.id)", bytes: bytes, id: id) }
        if let bytes = try files?.read(entry.id) {
            return try TableReader(name: "the file of table \(entry.id)", bytes: bytes, id: id)
        }
        guard let place = places[entry.id] else {
            throw CheckpointError(.invalidArgument, "table \(entry.id) was never written")
        }
        // Merges read most of a table, in order.
        let stored = try checkpoints.fetch(place).wait()
        return try TableReader(name: stored.info.key.rawValue, bytes: stored.bytes, id: id)
    }

    func place(of entry: Manifest.TableEntry) -> ManifestFile.Place? { places[entry.id] }

    /// Waits until everything is in the store.
    func finish() throws {
        while !pending.isEmpty { try waitForFirst() }
    }

    /// Waits until no file is in use, after a failure.
    func letGoOfFiles() {
        for upload in pending where upload.isFile {
            // The failure that brought this about counts, not what becomes of the others.
            do { _ = try upload.put.wait() } catch { continue }
        }
    }

    private func waitForFirst() throws {
        let first = pending.removeFirst()
        _ = try first.put.wait()
        uploaded.append(first.id)
        while writtenSize > TableUploads.writtenSizeMax, !uploaded.isEmpty {
            writtenSize -= written.removeValue(forKey: uploaded.removeFirst())?.count ?? 0
        }
    }
}
