import T4Core
import T4Protocols

extension StoreBench {
    /// Writers that wait for a store far away, beside those that wait for the local disk alone.
    func measureDurability(_ report: inout StoreBenchReport) async throws {
        for writers in [64, 1024] {
            let local = try await measure(.local, writers: writers)
            let remote = try await measure(.objectStore, writers: writers)
            let name = "\(writers) writers"
            report.add(.durability, "\(name), local: operations", local.load.rate, "/s")
            report.add(.durability, "\(name), local: p50", local.load.milliseconds(0.5), "ms")
            report.add(.durability, "\(name), local: p99", local.load.milliseconds(0.99), "ms")
            report.add(.durability, "\(name), object store: operations", remote.load.rate, "/s")
            report.add(.durability, "\(name), object store: p50", remote.load.milliseconds(0.5), "ms")
            report.add(.durability, "\(name), object store: p99", remote.load.milliseconds(0.99), "ms")
            report.add(.durability, "\(name), object store: puts", remote.puts / remote.load.seconds, "/s")
            report.add(.durability, "\(name), object store: time of a put", remote.putSeconds * 1000, "ms")
            // Nobody can have more than one answer in the time that the store takes.
            let bound = Double(writers) / remote.putSeconds
            report.add(.durability, "\(name): bound of the store", bound, "/s")
            report.add(
                .durability, "\(name): of the lesser of bound and local",
                remote.load.rate / min(bound, local.load.rate), goal: .atLeast(0.9))
            report.add(
                .durability, "\(name): object store / local", remote.load.rate / local.load.rate, goal: .atLeast(0.6))
        }
    }

    private func measure(
        _ durability: Durability, writers: Int
    ) async throws -> (load: Load, puts: Double, putSeconds: Double) {
        let store = ObservedStore(try await memoryStore(), delay: settings.delay)
        let node = try await node("durability-node", store, durability)
        // Until every writer has had its turn.
        _ = try await load(node, .tasks(writers), for: settings.duration / 10)
        store.reset()
        let load = try await load(node, .tasks(writers), for: settings.duration)
        let puts = store.calls.values.reduce(0) { $0 + $1.puts }
        let putSeconds = store.meanPutTime / .seconds(1)
        try await node.stop()
        await store.close()
        try remove("durability-node")
        return (load, Double(puts), putSeconds)
    }
}
