import T4Protocols

extension StoreVerification {
    /// A table where it lies, and what the checkpoints that use it say of it.
    private struct Use {
        var place: ManifestFile.Place
        var claims: [(checkpoint: ObjectKey, entry: Manifest.TableEntry)]
    }

    func readTables() throws {
        let uses = tableUses()
        let relied = Set(reliedOn.map(\.key))
        try forEach("tables", uses) { use in
            try store(of: use.place)
        } visit: { use, stored in
            let key = ObjectKey((use.place.prefix ?? "") + use.place.key)
            // Of a checkpoint that nobody may rely on, tables may be damaged or gone.
            let reliers = use.claims.filter { relied.contains($0.checkpoint) }
            let found = try problems(key, stored) { stored in
                report.count(.tables, bytes: stored.bytes.count)
                return try check(stored, use)
            } missing: {
                let needed = try use.claims.first { try exists($0.checkpoint) }
                return needed.map { ["missing: \($0.checkpoint) needs it"] } ?? []
            }
            for what in found { reliers.isEmpty ? note(key, what) : problem(key, what) }
        }
        let used = Set(uses.filter { $0.place.prefix == nil }.map(\.place.key))
        for object in listing.tables where !used.contains(object.key.rawValue) {
            note(object.key, "used by no checkpoint that can be read, \(object.size) bytes")
        }
    }

    private func store(of place: ManifestFile.Place) throws -> BlockingStore.Pending<StoredBytes> {
        let key = ObjectKey(place.key)
        return try (place.prefix.map(foreign) ?? store).start { (store) throws(ObjectStoreError) in
            try await store.get(key, bytes: nil)
        }
    }

    /// In the order in which they are first used.
    private func tableUses() -> [Use] {
        var uses: [Use] = []
        var numbers: [String: Int] = [:]
        for (key, file) in checkpoints.map({ ($0.key, $0.file) }) {
            for entry in file.checkpoint.tables {
                guard let place = file.envelope.places[entry.id] else { continue }
                let name = (place.prefix ?? "") + " " + place.key
                let number = numbers[name] ?? uses.count
                if number == uses.count {
                    numbers[name] = number
                    uses.append(Use(place: place, claims: []))
                }
                uses[number].claims.append((key, entry))
            }
        }
        return uses
    }

    /// Reads every row, and writes the rows again: the same rows make the same table, so that nothing in it is wrong, not
    /// even a count or an order.
    private func check(_ stored: StoredBytes, _ use: Use) throws -> [String] {
        let reader = try TableReader(name: use.place.key, bytes: stored.bytes, id: nil)
        var rows = reader.rows()
        var writer = TableWriter()
        while let row = try rows.next() { try writer.add(row) }
        guard writer.finish()?.id == reader.id else {
            return ["its rows do not add up to what its index and properties say"]
        }
        var problems: [String] = []
        if use.place.size != UInt64(stored.bytes.count) {
            problems.append("has \(stored.bytes.count) bytes, not \(use.place.size)")
        }
        for (checkpoint, entry) in use.claims
        where entry != Manifest.TableEntry(reader.id, reader.properties, upTo: entry.upTo) {
            problems.append(
                entry.id == "\(reader.id)"
                    ? "is not what \(checkpoint) says of it"
                    : "has the content of table \(reader.id), \(checkpoint) needs \(entry.id)")
        }
        return problems
    }
}
