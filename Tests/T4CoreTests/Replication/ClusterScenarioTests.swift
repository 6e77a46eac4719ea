import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: what an operator does to a cluster, and what goes wrong most often, has the outcome that the documents promise. Method:
/// simulated clusters without other faults.
@Suite struct ClusterScenarioTests {
    /// A cluster that is up, with everybody in the in-sync set.
    private func cluster(
        of count: Int = 3, seed: UInt64 = 1, _ change: (inout SimulationPlan) -> Void = { _ in }
    ) throws -> Simulation {
        var plan = SimulationPlan()
        plan.nodes = count
        plan.faultInterval = nil
        plan.loss = 0
        plan.storeTrouble = 0
        change(&plan)
        let cluster = Simulation(plan, seed: seed)
        for node in cluster.nodes { node.start() }
        cluster.scheduleClient()
        _ = try #require(cluster.run(atMost: .seconds(20)) { $0.isWhole }, "\(cluster.nodes.map(\.summary))")
        return cluster
    }

    /// How long it takes until a write that came now is acknowledged.
    private func timeToWrite(_ cluster: Simulation, atMost: Duration = .seconds(20)) throws -> Duration {
        let before = cluster.history.acknowledged
        let target = max(before, cluster.history.committedMax) + 1
        let time = cluster.run(atMost: atMost) { $0.history.acknowledged >= target }
        return try #require(time, "no write after \(atMost): \(cluster.nodes.map(\.summary))")
    }

    @Test(arguments: 1...2 as ClosedRange<UInt64>)
    func aQuietClusterAsksTheElectionForNothing(seed: UInt64) throws {
        let cluster = try cluster(seed: seed)
        cluster.runUntil(cluster.now + .seconds(1))
        let (requests, writes) = (cluster.store.electionRequests, cluster.history.acknowledgedCount)
        cluster.runUntil(cluster.now + .seconds(20))
        #expect(cluster.store.electionRequests == requests)
        #expect(cluster.history.acknowledgedCount > writes + 300)
        #expect(cluster.failure == nil)
    }

    @Test(arguments: 1...3 as ClosedRange<UInt64>)
    func writesResumeThreeSecondsAfterTheLeadersDeath(seed: UInt64) throws {
        let cluster = try cluster(seed: seed)
        let leader = try #require(cluster.leader)
        leader.crash()
        let time = try timeToWrite(cluster)
        #expect(time < .seconds(3))
        #expect(cluster.leader?.number != leader.number)
        leader.start()
        #expect(cluster.run(atMost: .seconds(5)) { $0.isWhole } != nil, "it rejoins")
        #expect(cluster.failure == nil)
    }

    @Test(arguments: 1...2 as ClosedRange<UInt64>, [2, 3, 5])
    func aLeaderThatEndsInGoodOrderIsReplacedAtOnce(seed: UInt64, count: Int) throws {
        let cluster = try cluster(of: count, seed: seed)
        let leader = try #require(cluster.leader)
        let term = leader.replica?.term ?? 0
        leader.handle(.stop)
        let time = cluster.run(atMost: .seconds(20)) { $0.leader.map { ($0.replica?.term ?? 0) > term } ?? false }
        #expect(try #require(time) < .milliseconds(300))
        #expect(try timeToWrite(cluster) < .milliseconds(100))
        #expect(cluster.failure == nil)
    }

    /// Otherwise the others would wait for a leader that is gone, and a node alone could not tell that the cluster has ended.
    @Test(arguments: [Replica.Role.candidate, .replaying, .fencing], [1, 3])
    func aNodeThatIsToEndWhileItTakesOverLeavesInGoodOrder(role: Replica.Role, count: Int) throws {
        let cluster = try cluster(of: count)
        let leader = try #require(cluster.leader)
        leader.crash()
        if count == 1 { leader.start() }
        _ = try #require(
            cluster.run(atMost: .seconds(10)) { $0.nodes.contains { $0.replica?.role == role } }, "none is \(role)")
        let node = try #require(cluster.nodes.first { $0.replica?.role == role })
        let term = cluster.store.record?.term ?? 0
        node.restarts = false
        node.handle(.stop)
        _ = try #require(cluster.run(atMost: .seconds(5)) { _ in !node.isUp }, "it does not end")
        let record = try #require(cluster.store.record)
        #expect(record.term >= term && record.isResigned == (count == 1), "\(record)")
        if count > 1 { #expect(try timeToWrite(cluster) < .milliseconds(300)) }
        #expect(cluster.failure == nil)
    }

    @Test(arguments: 1...2 as ClosedRange<UInt64>)
    func aDeadFollowerStopsWritesForLessThanHalfTheElectionTimeout(seed: UInt64) throws {
        let cluster = try cluster(seed: seed)
        let leader = try #require(cluster.leader)
        let follower = try #require(cluster.nodes.first { $0.number != leader.number })
        follower.crash()
        #expect(try timeToWrite(cluster) < .milliseconds(1_000))
        #expect(cluster.leader?.number == leader.number)
        #expect(cluster.failure == nil)
    }

    @Test(arguments: 1...2 as ClosedRange<UInt64>)
    func aClusterShrinksToOneAndGrowsAgain(seed: UInt64) throws {
        let cluster = try cluster(seed: seed)
        while cluster.nodes.count(where: \.isUp) > 1 {
            let node = try #require(cluster.nodes.first { $0.isUp })
            node.restarts = false
            node.handle(.stop)
            _ = try #require(cluster.run(atMost: .seconds(5)) { _ in !node.isUp })
            _ = try timeToWrite(cluster)
        }
        #expect(cluster.run(atMost: .seconds(5)) { $0.store.record?.inSyncSet.count == 1 } != nil)
        #expect(cluster.store.record?.storeComplete == true)
        for node in cluster.nodes where !node.isUp { node.start() }
        #expect(cluster.run(atMost: .seconds(10)) { $0.isWhole } != nil, "\(cluster.nodes.map(\.summary))")
        #expect(cluster.run(atMost: .seconds(5)) { $0.store.record?.storeComplete == false } != nil)
        #expect(cluster.failure == nil)
    }

    @Test(arguments: 1...2 as ClosedRange<UInt64>)
    func writesGoOnWithoutTheStore(seed: UInt64) throws {
        let cluster = try cluster(seed: seed)
        #expect(cluster.run(atMost: .seconds(5)) { $0.store.record?.storeComplete == false } != nil)
        cluster.cutFromStore = [0, 1, 2]
        let writes = cluster.history.acknowledgedCount
        cluster.runUntil(cluster.now + .seconds(20))
        #expect(cluster.history.acknowledgedCount > writes + 300)
        #expect(cluster.failure == nil)
    }

    /// A leader that none can hear, and that does not know it, answers no read once another one leads.
    @Test(arguments: 1...3 as ClosedRange<UInt64>)
    func anIsolatedLeaderAnswersNoRead(seed: UInt64) throws {
        let cluster = try cluster(seed: seed)
        let leader = try #require(cluster.leader)
        for other in cluster.nodes where other.number != leader.number {
            cluster.cut.formUnion([[leader.number, other.number], [other.number, leader.number]])
        }
        cluster.cutFromStore = [leader.number]
        _ = try #require(
            cluster.run(atMost: .seconds(10)) { $0.leader.map { $0.number != leader.number } ?? false })
        #expect(leader.replica?.role == .leading, "it does not know")
        let serves = leader.replica?.servesUntil.map { leader.clock < $0 } ?? false
        #expect(!serves)
        #expect(cluster.failure == nil)
    }

    /// Followers read the chain only where the leader's log does not reach back.
    @Test(arguments: [false, true])
    func aFollowerThatWasAwayIsBroughtUpToDate(hasForgotten: Bool) throws {
        let cluster = try cluster { $0.hasCheckpoints = hasForgotten }
        let leader = try #require(cluster.leader)
        let follower = try #require(cluster.nodes.first { $0.number != leader.number })
        follower.crash()
        cluster.runUntil(cluster.now + .seconds(40))
        if hasForgotten {
            #expect(cluster.run(atMost: .seconds(60)) { _ in leader.disk.base.index > follower.disk.last.index } != nil)
        }
        follower.start()
        #expect(cluster.run(atMost: .seconds(20)) { $0.isWhole } != nil, "\(cluster.nodes.map(\.summary))")
        #expect(cluster.failure == nil)
    }
}
