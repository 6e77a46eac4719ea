import T4Core
import T4Protocols

extension StoreBench {
    /// Bytes of the first checkpoint behind some updates, how long it takes, and what it costs writers; then how long it
    /// takes to restore that database.
    func measureCheckpoint(_ parts: Set<StoreBenchPart>, _ report: inout StoreBenchReport) async throws {
        let store = ObservedStore(try await folderStore("checkpoint-store"))
        let node = try await node("checkpoint-node", store, .local)
        try await fill(node)
        let first = try await checkpoint(node, store)
        if parts.contains(.checkpoint) {
            report.add(.checkpoint, "everything: uploaded", first.megabytes, "MB")
            report.add(.checkpoint, "everything: time", first.seconds, "s")
            try await measureUpdates(node, store, &report)
        }
        // Before the writers, who leave other tables each time.
        if parts.contains(.restore) { try await measureRestore(store, &report) }
        if parts.contains(.checkpoint) { try await measureWriters(node, &report) }
        try await node.stop()
        await store.close()
        try remove("checkpoint-node")
        try remove("checkpoint-store")
    }

    private func measureUpdates(_ node: Node, _ store: ObservedStore, _ report: inout StoreBenchReport) async throws {
        var rounds: [(megabytes: Double, seconds: Double)] = []
        for _ in 0..<settings.rounds {
            try await update(node, count: settings.updates)
            rounds.append(try await checkpoint(node, store))
        }
        let name = "\(settings.updates) updates"
        report.add(.checkpoint, "\(name): uploaded", rounds[0].megabytes, "MB", goal: .atMost(6))
        report.add(.checkpoint, "\(name): time", rounds[0].seconds, "s")
        report.add(
            .checkpoint, "\(name), again and again: uploaded",
            rounds.map(\.megabytes).reduce(0, +) / Double(rounds.count),
            "MB")
    }

    private func checkpoint(
        _ node: Node, _ store: ObservedStore
    ) async throws -> (megabytes: Double, seconds: Double) {
        store.reset()
        let clock = ContinuousClock()
        let begin = clock.now
        try await node.checkpoint()
        let seconds = (clock.now - begin) / .seconds(1)
        let bytes = ["sst", "checkpoint", "manifest"].reduce(0) { $0 + (store.calls[$1]?.bytesPut ?? 0) }
        return (Double(bytes) / 1e6, seconds)
    }

    /// Latencies of writers, and those beside checkpoints, each begun as soon as there are so many updates: the same time
    /// for both, or one sync of the log that meets a checkpoint would be a hundredth of the few there are.
    private func measureWriters(_ node: Node, _ report: inout StoreBenchReport) async throws {
        var (alone, beside): ([Double], [Double]) = ([], [])
        var checkpoints = 0
        for _ in 0..<settings.rounds {
            alone.append(try await load(node, .threads(16), for: settings.duration).milliseconds(0.99))
            let ending = Ending()
            async let loaded = load(node, .threads(16)) { ending.goesOn }
            do {
                defer { ending.reach() }
                let clock = ContinuousClock()
                let end = clock.now + settings.duration
                while clock.now < end {
                    let due = node.revision.rawValue + Int64(settings.updates)
                    try await node.checkpoint()
                    checkpoints += 1
                    while clock.now < end, node.revision.rawValue < due {
                        await BackoffTimer.system.pause(.milliseconds(1))
                    }
                }
            }
            beside.append(try await loaded.milliseconds(0.99))
        }
        report.add(.checkpoint, "16 writers: checkpoints beside", Double(checkpoints))
        report.add(.checkpoint, "16 writers: p99 without", alone.median, "ms")
        report.add(.checkpoint, "16 writers: p99 beside one", beside.median, "ms")
        report.add(.checkpoint, "16 writers: ratio", beside.median / alone.median, goal: .atMost(2))
    }

    private func measureRestore(_ store: any ObjectStore, _ report: inout StoreBenchReport) async throws {
        var seconds: [Double] = []
        var size: UInt64 = 0
        for _ in 0..<settings.rounds {
            let done = try await restore(store, to: .latestCheckpoint, into: "restored")
            guard done.report.keyCount == settings.keys else {
                throw CommandFailure(description: "\(done.report.keyCount) of \(settings.keys) keys were restored")
            }
            seconds.append(done.seconds)
            size = done.report.plan.checkpoint?.size ?? 0
        }
        report.add(.restore, "time", seconds.median, "s", goal: .atMost(3))
        report.add(.restore, "tables", Double(size) / 1e6, "MB")
        report.add(.restore, "speed", Double(size) / 1e6 / seconds.median, "MB/s")
    }
}
