// Goal: a branch is its parent at one moment, and a database of its own from then on. Method: nodes on one store in memory.
import T4BuiltIns
import T4Protocols
import Testing

@testable import T4Core

@Suite struct BranchTests {
    /// Where a branch begins, and which moment that is.
    enum Place: CaseIterable, Sendable {
        case latest, older, revision, time, end

        var moment: Int {
            switch self {
            case .latest: 1
            case .older: 0
            case .revision, .time: 2
            case .end: 3
            }
        }

        func target(_ world: BranchWorld) -> RestorePoint.Target {
            switch self {
            case .latest: .latestCheckpoint
            case .older: .checkpoint(ObjectKey(world.checkpoints[0]))
            case .revision: .revision(world.moments[2].revision)
            case .time: .time(world.moments[2].time)
            case .end: .end
            }
        }
    }

    @Test(arguments: Place.allCases) func beginsWithTheParentsStateAndGoesOn(_ place: Place) async throws {
        let world = try await BranchWorld()
        let point = try await world.branches().fork("b", at: place.target(world))
        #expect(point.prefix == "db/" && world.checkpoints.contains(point.checkpoint))
        #expect((point.index == nil) == (place == .latest || place == .older))
        #expect(BranchPoint(prefix: "db/", "\(point)") == point)
        // What the parent does meanwhile is not the branch's.
        try await world.collect(world.parent)
        let before = try world.moment(world.parent)

        let branch = try await world.branch("branch/", at: point)
        try await branch.start()
        // What the log adds may have become new tables already.
        let inherited = try #require(try await world.status("branch/").inherited).map(\.prefix)
        #expect(inherited == ["db/"] || inherited.isEmpty && point.index != nil)
        #expect(try await world.status("db/").inherited == nil)
        let moment = world.moments[place.moment]
        try world.expect(branch, at: moment)
        let history = try branch.node.range(RangeRequest(key: Array("key5"), revision: 7))
        #expect(history.kvs.map(\.text) == ["key5=0.5"])
        try await branch.put("mine", "1")
        #expect(branch.node.revision == moment.revision.next)
        try world.expect(world.parent, at: before)
        try await world.parent.put("theirs", "1")
        #expect(try !branch.all().contains("theirs=1") && branch.all().contains("mine=1"))
        #expect(try await world.problems("branch/") == [])

        // From its first checkpoint and the log, and from one of its own.
        for round in 0..<2 {
            let last = try world.moment(branch)
            if round == 1 { try await branch.node.checkpoint() }
            try await branch.stop()
            try branch.removeDisk()
            try await branch.start()
            try world.expect(branch, at: last, "round \(round)")
        }
        #expect(try await world.problems("branch/") == [])
        #expect(try await world.problems("db/") == [])
        try await world.stop(branch)
    }

    @Test func aBranchHasBranches() async throws {
        let world = try await BranchWorld()
        let child = try await world.branch("child/", at: try await world.branches().fork("child"))
        try await child.start()
        try await child.put("child", "1")
        try await child.node.checkpoint()
        let last = try world.moment(child)
        let point = try await world.branches(of: "child/").fork("grandchild")
        #expect(point.prefix == "child/")
        let grandchild = try await world.branch("grandchild/", at: point)
        try await grandchild.start()
        try world.expect(grandchild, at: last)
        let inherited = try await world.status("grandchild/").inherited ?? []
        #expect(inherited.contains { $0.prefix == "child/" } && inherited.allSatisfy { $0.prefix != "grandchild/" })
        try await world.collect(world.parent)
        try await world.collect(child)
        try await grandchild.stop()
        try grandchild.removeDisk()
        try await grandchild.start()
        try world.expect(grandchild, at: last)
        #expect(try await world.problems("grandchild/") == [])
        try await world.stop(child, grandchild)
    }

    @Test func aForkKeepsItsTablesUntilItIsForgotten() async throws {
        let world = try await BranchWorld()
        let branches = world.branches()
        let point = try await branches.fork("kept", at: .checkpoint(ObjectKey(world.checkpoints[0])))
        #expect(try await branches.list().map(\.id) == ["kept"])
        #expect(try await branches.list().map(\.checkpoint) == [world.checkpoints[0]])
        try await world.collect(world.parent)
        let branch = try await world.branch("branch/", at: point)
        try await branch.start()
        try world.expect(branch, at: world.moments[0])
        try await branch.stop()

        #expect(try await branches.unfork("kept"))
        #expect(try await !branches.unfork("kept"))
        #expect(try await branches.list().isEmpty)
        let report = try await world.collect(world.parent)
        #expect(report.checkpointCount == 2 && report.tableCount > 0)
        // It was the registration that kept them.
        #expect(try await !world.problems("branch/").isEmpty)
        try branch.removeDisk()
        await #expect(throws: (any Error).self) { try await branch.start() }
        try await world.stop()
    }

    /// The store goes away at each call of a first start; the next start, on the same disk or on an empty one, succeeds.
    @Test func aStartThatIsCutOffIsRepeated() async throws {
        let world = try await BranchWorld()
        let point = try await world.branches().fork("b", at: .revision(world.moments[2].revision))
        var calls = 0
        while true {
            let store = OutageStore(world.base)
            let branch = try await world.branch("branch-\(calls)/", at: point, through: store)
            branch.settings.startTimeout = .milliseconds(20)
            branch.pauseMax = .milliseconds(1)
            store.goAway(afterCalls: calls)
            let isStarted: Bool
            do {
                try await branch.start()
                isStarted = true
            } catch {
                isStarted = false
            }
            if isStarted { try await branch.stop() }
            // The store stays away for the node that was cut off, as if its process were gone.
            branch.store = world.base
            (branch.settings.startTimeout, branch.pauseMax) = (.seconds(60), .seconds(60))
            if calls % 2 == 0 { try branch.removeDisk() }
            try await branch.start()
            try world.expect(branch, at: world.moments[2], "\(calls) calls")
            #expect(try await world.problems("branch-\(calls)/") == [], "\(calls) calls")
            try await branch.stop()
            if isStarted { break }
            calls += 1
        }
        #expect(calls > 10)
        try await world.stop()
    }

    // MARK: - What is refused

    private func expectRefusal(
        _ branch: StoreNode, saying text: String, _ place: SourceLocation = #_sourceLocation
    ) async throws {
        let error = await #expect(throws: (any Error).self, sourceLocation: place) { try await branch.start() }
        let said = error.map { "\($0)" } ?? ""
        #expect(said.contains(text), "\(said)", sourceLocation: place)
    }

    @Test func itsPointCountsOnceOnly() async throws {
        let world = try await BranchWorld()
        let point = try await world.branches().fork("b")
        let branch = try await world.branch("branch/", at: point)
        try await branch.start()
        try await branch.put("mine", "1")
        let last = try world.moment(branch)
        // With the point, and without it.
        try await branch.restart()
        try world.expect(branch, at: last)
        branch.settings.branch = nil
        try await branch.restart()
        try world.expect(branch, at: last)
        try await branch.stop()
        branch.settings.branch = BranchPoint(prefix: "db/", checkpoint: world.checkpoints[0])
        try await expectRefusal(branch, saying: "which is a branch of \"db/\" from \(world.checkpoints[1])")
        branch.settings.prefix = "other/"
        try await expectRefusal(branch, saying: "a branch begins in an empty data directory")
        try await world.stop()
    }

    @Test func whatCannotBeginIsNamed() async throws {
        let world = try await BranchWorld()
        let point = try await world.branches().fork("b")
        var wrong = point
        wrong.checkpoint = "checkpoint/0000000009/00000000000000000009/manifest.json"
        let branch = try await world.branch("branch/", at: wrong)
        try await expectRefusal(branch, saying: "there is no checkpoint \(wrong.checkpoint) under the prefix \"db/\"")
        wrong = point
        wrong.prefix = "nothing/"
        branch.settings.branch = wrong
        try await expectRefusal(branch, saying: "there is no database under the prefix \"nothing/\"")
        wrong = point
        wrong.index = 100_000
        branch.settings.branch = wrong
        try await expectRefusal(branch, saying: "does not lead to entry 100000")
        // The prefix of a database that is there already.
        branch.settings.prefix = "db/"
        branch.settings.branch = point
        try await expectRefusal(branch, saying: "which is no branch")
        // Nothing of all this is in the way of a right start.
        branch.settings.prefix = "branch/"
        try await branch.start()
        try world.expect(branch, at: world.moments[1])
        try await world.stop(branch)
    }

    @Test func aForkThatCannotBeIsRefused() async throws {
        let world = try await BranchWorld()
        let branches = world.branches()
        _ = try await branches.fork("taken")
        for (id, text) in [("a b", "cannot be an id"), ("", "cannot be an id"), ("taken", "exists already")] {
            let error = await #expect(throws: CheckpointError.self) { _ = try await branches.fork(id) }
            #expect(error?.message.contains(text) == true, "\(id)")
        }
        let absent: [RestorePoint.Target] = [
            .checkpoint("checkpoint/0000000001/00000000000000000002/manifest.json"), .revision(Revision(100_000)),
            .time(1),
        ]
        for target in absent {
            await #expect(throws: RestoreError.self) { _ = try await branches.fork("new", at: target) }
        }
        await #expect(throws: RestoreError.self) { _ = try await world.branches(of: "nothing/").fork("new") }
        #expect(try await branches.list().map(\.id) == ["taken"])
        try await world.stop()
    }
}
