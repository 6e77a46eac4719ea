import T4Core
import T4Protocols

extension StoreBench {
    /// What a collection of many objects asks of the store.
    func measureCollection(_ report: inout StoreBenchReport) async throws {
        let store = ObservedStore(try await memoryStore())
        let node = try await node("collection-node", store, .local)
        for _ in 0..<100 {
            try await node.put(put(0))
            try await node.checkpoint()
        }
        try await node.stop()
        let there = try await objects(store, under: StoreLayout.tables)
        try await addTables(settings.objects - there, to: store)
        store.reset()
        let clock = ContinuousClock()
        let begin = clock.now
        let done = try await GarbageCollection.run(
            in: store, policy: CollectionPolicy(keep: 3, retain: .zero), logger: logger)
        let seconds = (clock.now - begin) / .seconds(1)
        guard done.tableCount >= settings.objects - there else {
            throw CommandFailure(description: "\(done.tableCount) of \(settings.objects - there) tables were collected")
        }
        let calls = store.calls
        report.add(.collection, "objects", Double(settings.objects))
        report.add(.collection, "time", seconds, "s")
        report.add(.collection, "gets", Double(calls.values.reduce(0) { $0 + $1.gets }))
        report.add(.collection, "pages listed", Double(calls.values.reduce(0) { $0 + $1.pages }))
        for prefix in ["sst", "wal"] {
            report.add(
                .collection, "listings of \(prefix)/", Double(calls[prefix]?.listings ?? 0), goal: .atMost(1))
        }
        // It has to look a second time at what others may have added meanwhile.
        report.add(.collection, "listings of checkpoint/", Double(calls["checkpoint"]?.listings ?? 0))
        await store.close()
        try remove("collection-node")
    }

    /// Puts tables that no checkpoint uses.
    private func addTables(_ count: Int, to store: any ObjectStore) async throws {
        for number in 0..<max(0, count) {
            var bytes = [UInt8](repeating: 0, count: 24)
            withUnsafeBytes(of: UInt64(number).byteSwapped) { bytes += $0 }
            guard let id = TableID(bytes) else { preconditionFailure("32 bytes are the id of a table") }
            _ = try await store.put(StoreLayout.table(id, epoch: 0), .bytes([0]), when: .always)
        }
    }

    /// How many objects a steady load leaves, and how long a restore into its middle takes.
    func measureHistory(_ report: inout StoreBenchReport) async throws {
        let store = ObservedStore(try await folderStore("history-store"))
        // As an hour is to the default of a quarter of one.
        let node = try await node("history-node", store, .objectStore, checkpoints: settings.span / 4)
        try await write(node, for: settings.span / 2)
        let middle = node.revision
        try await write(node, for: settings.span / 2)
        try await node.stop()
        let listing = try await objects(store, under: StoreLayout.log)
        report.add(.history, "writes", Double(node.revision.rawValue - 1))
        report.add(.history, "objects of the log put", Double(store.calls["wal"]?.puts ?? 0))
        report.add(.history, "objects of the log at the end", Double(listing), goal: .atMost(1500))
        let done = try await restore(store, to: .revision(middle), into: "restored")
        guard done.report.revision == middle else {
            throw CommandFailure(description: "revision \(done.report.revision) was restored, not \(middle)")
        }
        report.add(.history, "restore to the middle: entries replayed", Double(done.report.plan.entryCount))
        report.add(.history, "restore to the middle: time", done.seconds, "s", goal: .atMost(60))
        await store.close()
        try remove("history-node")
        try remove("history-store")
    }

    /// Puts at the configured rate, whether or not the ones before were answered.
    private func write(_ node: Node, for span: Duration) async throws {
        let clock = ContinuousClock()
        let begin = clock.now
        let ticks = 50
        try await withThrowingTaskGroup(of: Void.self) { group in
            var (started, pending) = (0, 0)
            while clock.now - begin < span {
                let due = Int((clock.now - begin) / .seconds(1) * Double(settings.rate))
                while started < due {
                    group.addTask { try await node.put(put(.random(in: 0..<settings.keys))) }
                    started += 1
                    pending += 1
                }
                // As many as a second brings may be under way; then it is the node that sets the pace.
                while pending > settings.rate {
                    try await group.next()
                    pending -= 1
                }
                await BackoffTimer.system.pause(.seconds(1) / ticks)
            }
            try await group.waitForAll()
        }
    }

    private func objects(_ store: any ObjectStore, under prefix: ObjectKey) async throws -> Int {
        var (count, after): (Int, ObjectKey?) = (0, nil)
        while true {
            let page = try await store.list(prefix: prefix, after: after, limit: 1000)
            count += page.objects.count
            guard page.hasMore, let last = page.objects.last else { return count }
            after = last.key
        }
    }
}
