import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

// Threads that run the real code share a store in which each call waits for its turn. Whatever the order of the calls,
// and whoever dies at whatever moment, nothing may be gone that somebody relies on: this is checked after each call, so
// that a death is an order in which somebody never gets another turn.

@Suite struct CollectionInterleavingTests {
    static let script = Result { try CollectionScript() }

    static let pairs: [CollectionScenario] = [
        .init(actors: [.writer(2), .collector(keep: 1)]),
        .init(actors: [.forker(0, keepsLog: true), .collector(keep: 1)]),
        .init(actors: [.forker(1, keepsLog: false), .collector(keep: 1)]),
        .init(actors: [.restorer, .collector(keep: 1)]),
        .init(actors: [.collector(keep: 1), .collector(keep: 2)]),
        .init(actors: [.collector(keep: 1), .collector(keep: 1)], beginsUnswept: true),
        .init(actors: [.forker(0, keepsLog: false), .collector(keep: 2)], beginsUnswept: true),
        // Of the joined object the name stays, as that of a term's first one, or goes with all it holds.
        .init(actors: [.merger(21...50), .collector(keep: 1)]),
        .init(actors: [.merger(31...50), .collector(keep: 1)]),
    ]

    /// Every order in which the one that acts is changed against its will once, and some others; where there is time, all
    /// in which that happens twice.
    @Test(arguments: pairs.indices)
    func pairsInEveryOrder(_ number: Int) async throws {
        try await onThread {
            let script = try CollectionInterleavingTests.script.get()
            let exploration = try Exploration(script, CollectionInterleavingTests.pairs[number])
            try exploration.exploreAll(changesMax: SlowTests.areAllowed ? 2 : 1)
            #expect(exploration.runCount > 30)
            try exploration.runRandomly(SlowTests.areAllowed ? 400 : 20, seed: 9)
        }
    }

    static let crowds: [CollectionScenario] = [
        .init(actors: [.writer(2), .writer(3), .collector(keep: 1), .collector(keep: 1), .forker(1, keepsLog: true)]),
        .init(actors: [
            .writer(2), .forker(0, keepsLog: true), .restorer, .merger(31...50), .collector(keep: 1),
            .collector(keep: 2),
        ]),
        .init(
            actors: [.writer(2), .writer(2), .collector(keep: 1), .collector(keep: 2), .forker(1, keepsLog: false)],
            beginsUnswept: true),
    ]

    /// Without any one of the rules something gets lost, in an order in which with it nothing does.
    @Test(arguments: CollectionMutant.allCases)
    func eachRuleIsNeeded(_ mutant: CollectionMutant) async throws {
        try await onThread {
            let script = try CollectionInterleavingTests.script.get()
            let scenario = mutant.scenario
            #expect(throws: Loss.self, "\(mutant) does no harm") {
                try Exploration(script, scenario).run(mutant.turns)
            }
            try Exploration(script, CollectionScenario(actors: mutant.soundActors)).run(mutant.turns)
        }
    }

    /// Many orders of many actors, with lost answers and late effects.
    @Test(arguments: crowds.indices, 0..<(SlowTests.areAllowed ? 40 : 2) as Range<UInt64>)
    func crowdsInRandomOrder(_ number: Int, _ seed: UInt64) async throws {
        try await onThread {
            let script = try CollectionInterleavingTests.script.get()
            let exploration = try Exploration(script, CollectionInterleavingTests.crowds[number])
            try exploration.runRandomly(40, seed: seed)
        }
    }
}

/// Runs a scenario in many orders.
final class Exploration {
    private let script: CollectionScript
    private let scenario: CollectionScenario
    private let initial: CollectionInitial
    private(set) var runCount = 0

    init(_ script: CollectionScript, _ scenario: CollectionScenario) throws {
        self.script = script
        self.scenario = scenario
        let storage = try script.makeStorage()
        let heads = storage.objects.keys.filter { $0.hasPrefix("checkpoint/") }.sorted()
        if scenario.beginsUnswept {
            let store = DyingStore(SteppedStore(storage))
            do {
                _ = try script.collector(store, keep: 1).collect()
            } catch let error as ObjectStoreError where error.code == .closed {}
        }
        initial = CollectionInitial(objects: storage.objects, version: storage.version, heads: heads)
    }

    /// Every order with at most so many changes from one that could go on to another.
    func exploreAll(changesMax: Int) throws { try explore([:], from: 0, changesLeft: changesMax) }

    private func explore(_ decisions: [Int: Int], from start: Int, changesLeft: Int) throws {
        var moments: [CollectionScenario.Moment] = []
        var last: Int?
        runCount += 1
        do {
            try scenario.run(script, initial) { step, standing, _ in
                guard let first = standing.keys.min() else { return nil }
                let usual = last.flatMap { standing[$0] == nil ? nil : $0 } ?? first
                let chosen = decisions[step] ?? usual
                precondition(standing[chosen] != nil, "the same choices lead to the same moments")
                moments.append(.init(standing: standing.keys.sorted(), chosen: chosen))
                last = chosen
                return .actor(chosen, .proceed)
            }
        } catch let loss as Loss {
            throw Loss(description: "\(loss), after \(moments.map(\.chosen))")
        } catch let confusion as Confusion {
            throw Confusion(description: "\(confusion), after \(moments.map(\.chosen))")
        }
        for step in moments.indices.dropFirst(start) {
            let isChange = step > 0 && moments[step].standing.contains(moments[step - 1].chosen)
            guard changesLeft > 0 || !isChange else { continue }
            for other in moments[step].standing where other != moments[step].chosen {
                var next = decisions.filter { $0.key < step }
                for earlier in start..<step { next[earlier] = moments[earlier].chosen }
                next[step] = other
                try explore(next, from: step + 1, changesLeft: changesLeft - (isChange ? 1 : 0))
            }
        }
    }

    /// One order: each turn until it ends, and then whoever is left, one after the other.
    func run(_ turns: [CollectionTurn]) throws {
        var rest = turns[...]
        var met = 0
        runCount += 1
        try scenario.run(script, initial) { _, standing, _ in
            while let turn = rest.first {
                if let call = standing[turn.actor] {
                    if turn.isEnd(call) { met += 1 }
                    if met < turn.times || !turn.isEnd(call) { return .actor(turn.actor, .proceed) }
                }
                rest.removeFirst()
                met = 0
            }
            return standing.keys.min().map { .actor($0, .proceed) }
        }
    }

    /// Random orders; actors keep going for a while, and now and then an answer is lost.
    func runRandomly(_ count: Int, seed: UInt64) throws {
        for number in 0..<count {
            var random = SeededGenerator(seed: seed << 32 | UInt64(number))
            let changes = [0.05, 0.2, 0.5].randomElement(using: &random)!
            let loses = Int.random(in: 0..<2, using: &random) == 0
            let end = Int.random(in: 0..<4, using: &random) == 0 ? Int.random(in: 1...120, using: &random) : .max
            var last: Int?
            runCount += 1
            do {
                try scenario.run(script, initial) { step, standing, lateCount in
                    guard step < end, !standing.isEmpty else { return nil }
                    if lateCount > 0, Double.random(in: 0..<1, using: &random) < 0.05 {
                        return .land(Int.random(in: 0..<lateCount, using: &random))
                    }
                    var chosen = last
                    if chosen.flatMap({ standing[$0] }) == nil || Double.random(in: 0..<1, using: &random) < changes {
                        chosen = standing.keys.sorted().randomElement(using: &random)
                    }
                    last = chosen
                    guard let chosen, let call = standing[chosen] else { return nil }
                    var turn = CollectionScenario.SteppedTurn.proceed
                    if loses, call.kind == .put, Double.random(in: 0..<1, using: &random) < 0.1 {
                        turn = Bool.random(using: &random) ? .loseAnswer : .late
                    }
                    return .actor(chosen, turn)
                }
            } catch let loss as Loss {
                throw Loss(description: "\(loss), seed \(seed), run \(number)")
            } catch let confusion as Confusion {
                throw Confusion(description: "\(confusion), seed \(seed), run \(number)")
            }
        }
    }
}

/// Dies at the first deletion.
private final class DyingStore: ObjectStore {
    private let base: any ObjectStore
    init(_ base: any ObjectStore) { self.base = base }

    var capabilities: ObjectStoreCapabilities { base.capabilities }
    func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        try await base.get(key, bytes: bytes)
    }
    func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo { try await base.info(key) }
    func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion { try await base.put(key, payload, when: condition) }
    func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        try await base.list(prefix: prefix, after: after, limit: limit)
    }
    func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) { throw ObjectStoreError(.closed, "it died") }
    func close() async { await base.close() }
}
