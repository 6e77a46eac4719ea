import Foundation
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: whatever goes wrong, no acknowledged write is lost, no read is stale, and once everything is mended the cluster is whole.
/// Method: simulated clusters of one to five nodes with faults every 0.7 s, each from one seed.
///
/// `T4_TEST_SEED=N` runs the cluster of seed N, and says what happened; `T4_TEST_ROUNDS` says how many.
@Suite struct ClusterSimulationTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let seed = environment["T4_TEST_SEED"].flatMap { UInt64($0) }
    private static let rounds =
        environment["T4_TEST_ROUNDS"].flatMap { UInt64($0) } ?? (environment["T4_TEST_SLOW"] == "1" ? 10_000 : 200)

    private func plan(_ seed: UInt64) -> SimulationPlan {
        var plan = SimulationPlan()
        plan.nodes = [3, 3, 2, 5, 1][Int(seed % 5)]
        plan.durability = seed % 3 == 0 ? .objectStore : .replicated
        return plan
    }

    @Test func nothingIsLostAndNothingIsStale() async throws {
        if let seed = Self.seed {
            var plan = plan(seed)
            plan.tells = true
            try Simulation(plan, seed: seed).run()
            return
        }
        let first = UInt64.random(in: 0...UInt64.max / 2)
        var (writes, reads, takeOvers) = (0, 0, 0)
        for seed in first..<first + Self.rounds {
            let simulation = Simulation(plan(seed), seed: seed)
            #expect(throws: Never.self, "T4_TEST_SEED=\(seed)") { try simulation.run() }
            writes += simulation.history.acknowledgedCount
            reads += simulation.history.readCount
            takeOvers += simulation.history.takeOvers
            // Other tests wait for this thread.
            await Task.yield()
        }
        #expect(writes > Int(Self.rounds) * 100 && reads > Int(Self.rounds) * 100 && takeOvers > Int(Self.rounds) * 2)
    }
}
