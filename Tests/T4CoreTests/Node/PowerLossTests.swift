import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: wherever in a history of a whole node the power goes, or a call on the log's files fails, every write that was
/// acknowledged is there after the next start, none is there in part, and none that was refused.
/// Method: `PowerLossWorld`, once for each call that changes a file of the log.
struct PowerLossTests {
    /// Every how many calls a test stops by.
    private static func stride(_ engine: String) -> Int {
        if SlowTests.areAllowed { return 1 }
        return engine == "memory" ? 3 : 12
    }

    @Test(arguments: BackendRegistry.builtIn.engineNames)
    func thePowerMayGoAtEveryCall(_ engine: String) async throws {
        try await onThread {
            let world = try PowerLossWorld(engine: engine)
            var nth = 1
            var deaths = 0
            while true {
                let life = try PowerLossWorld.Life(engine)
                defer { life.remove() }
                let node = try life.start()
                life.files.arm(.dying(nth: nth))
                let outcome = world.run(on: node)
                let hasDied = life.files.changeCount >= nth
                // What is not on disk does not get there any more.
                try Self.stop(node)
                #expect(outcome.isInOrder)
                if !hasDied {
                    #expect(outcome.results.allSatisfy { $0 == nil })
                    break
                }
                deaths += 1
                for variant in 0..<(SlowTests.areAllowed ? 4 : 1) {
                    var random = SeededGenerator(seed: UInt64(nth * 16 + variant))
                    try Self.startAgain(life, world, outcome, "\(engine), call \(nth), variant \(variant)", &random)
                }
                nth += Self.stride(engine)
            }
            #expect(deaths > 30 / Self.stride(engine), "the history touches files \(nth) times")
        }
    }

    /// The power goes now, often again in the middle of the next start, and then the node comes up for good.
    private static func startAgain(
        _ life: PowerLossWorld.Life, _ world: PowerLossWorld, _ outcome: PowerLossWorld.Outcome, _ context: String,
        _ random: inout SeededGenerator
    ) throws {
        let next = try life.afterPowerLoss(&random)
        defer { next.remove() }
        guard Bool.random(using: &random) else { return try check(next, world, outcome, context) }
        next.files.arm(.dying(nth: Int.random(in: 1...8, using: &random)))
        do {
            try stop(next.start())
        } catch {
            #expect("\(error)".contains("injected"), "\(context): \(error)")
        }
        let last = try next.afterPowerLoss(&random)
        defer { last.remove() }
        try check(last, world, outcome, context + ", second power failure")
    }

    /// Stops a node whose files may fail.
    private static func stop(_ node: Node) throws {
        do {
            try node.stopAndWait()
        } catch {
            #expect("\(error)".contains("injected"), "\(error)")
        }
    }

    private static func check(
        _ life: PowerLossWorld.Life, _ world: PowerLossWorld, _ outcome: PowerLossWorld.Outcome, _ context: String
    ) throws {
        let node = try life.start()
        try world.check(node, outcome, context)
        let revision = node.revision
        #expect(PowerLossWorld.submit([.put(PutRequest(key: [9], value: [9]))], node) == [nil], "\(context)")
        #expect(node.revision == revision.next, "\(context)")
        try node.stopAndWait()
    }

    private static let calls: [SimulatedFileSystem.Call] = [
        .create, .rename, .remove, .syncDirectory, .write, .syncData, .truncate, .freeBytes, .list, .open, .read, .size,
    ]

    /// After a call that failed a node either goes on, or answers with clear errors, shows what was acknowledged, and
    /// comes back with it.
    @Test(arguments: PowerLossTests.calls)
    func everyCallMayFailOnce(_ call: SimulatedFileSystem.Call) async throws {
        try await onThread {
            let world = try PowerLossWorld(engine: "memory")
            var ended = false
            var nth = 1
            while !ended {
                for code in [LogError.Code.ioFailed, .noSpace]
                where SlowTests.areAllowed || (code == .noSpace) == (nth % 4 == 1) {
                    ended = try !Self.fail(call, nth, code, world)
                }
                nth += SlowTests.areAllowed ? 1 : 2
            }
            #expect(nth > 2, "\(call) is never called")
        }
    }

    /// - Returns: False when there were less calls.
    private static func fail(
        _ call: SimulatedFileSystem.Call, _ nth: Int, _ code: LogError.Code, _ world: PowerLossWorld
    ) throws -> Bool {
        let context = "\(call) number \(nth) fails with \(code)"
        let life = try PowerLossWorld.Life("memory")
        defer { life.remove() }
        let node = try life.start()
        life.files.arm(.failing(call, nth: nth, code))
        let outcome = world.run(on: node)
        let wasCalled = life.files.count(call) >= nth
        #expect(outcome.isInOrder, "\(context)")
        #expect(outcome.results.allSatisfy { [nil, .outcomeUnknown, .stopped].contains($0) }, "\(context)")
        // Reads go on, and show what was acknowledged, nothing else.
        let shown = try DamageWorld.State(node.engine.snapshot())
        let acknowledged = outcome.bounds.lowerBound
        // Before anything is applied there is not even the row that says so.
        #expect(
            acknowledged == 0 ? shown.revision == .initial : shown == world.states[acknowledged], "\(context)")
        try stop(node)
        let hasFailed = outcome.results.contains { $0 != nil }
        #expect(life.failures.withLock { $0 } == (hasFailed ? 1 : 0), "\(context)")
        life.files.arm(nil)
        var random = SeededGenerator(seed: UInt64(nth))
        let other = try life.afterPowerLoss(&random)
        defer { other.remove() }
        try check(other, world, outcome, context + ", after a power failure")
        try check(life, world, outcome, context + ", after a restart")
        return wasCalled
    }

    /// A start that fails says why, and changes nothing for the next one.
    @Test(arguments: PowerLossTests.calls.filter { $0 != .truncate && $0 != .freeBytes })
    func everyCallOfAStartMayFailOnce(_ call: SimulatedFileSystem.Call) async throws {
        try await onThread {
            let world = try PowerLossWorld(engine: "memory")
            let life = try PowerLossWorld.Life("memory")
            defer { life.remove() }
            let first = try life.start()
            let outcome = world.run(on: first)
            try first.stopAndWait()
            for nth in 1...100 {
                life.files.arm(.failing(call, nth: nth, nth % 2 == 0 ? .noSpace : .ioFailed))
                do {
                    try Self.stop(life.start())
                } catch {
                    #expect("\(error)".contains("injected"), "\(call) number \(nth): \(error)")
                }
                let count = life.files.count(call)
                life.files.arm(nil)
                let node = try life.start()
                try world.check(node, outcome, "\(call) number \(nth)")
                try node.stopAndWait()
                if count < nth { return #expect(nth > 1 || call == .remove, "\(call) is never called") }
            }
            Issue.record("a start makes more than 100 calls of \(call)")
        }
    }
}
