import ConformanceMutants
import T4Conformance
import T4Protocols
import Testing

/// Goal: a `FaultyEngine` fails as its plan says and not otherwise. Method: plans on the memory engine, whose content
/// tells whether a failed call had its effect.
@Suite struct FaultyEngineTests {
    private static func engine(_ plan: FaultPlan) throws -> FaultyEngine {
        FaultyEngine(try openSubject("memory", .test), plan: plan)
    }

    private static func apply(_ index: UInt64, to engine: any LocalEngine) throws {
        var batch = WriteBatch()
        batch.put([UInt8(index)], [])
        try engine.apply(batch, at: LogPosition(term: 1, index: index))
    }

    @Test(arguments: FaultPlan.Moment.allCases)
    func failsTheNamedCallsBeforeOrAfterTheirEffect(_ moment: FaultPlan.Moment) throws {
        let engine = try Self.engine(FaultPlan([.init(.apply, calls: 2...3, moment, code: .noSpace)]))
        var failed: [UInt64] = []
        for index in 1...4 as ClosedRange<UInt64> {
            do {
                try Self.apply(index, to: engine)
            } catch let error as EngineError {
                #expect(error.code == .noSpace)
                failed.append(index)
            }
        }
        #expect(failed == [2, 3])
        #expect(
            try engine.snapshot().rows().map(\.key) == (moment == .afterEffect ? [[1], [2], [3], [4]] : [[1], [4]]))
        #expect(engine.callCount(.apply) == 4)
    }

    @Test func failsEachOperationOnItsOwnCount() throws {
        let engine = try Self.engine(
            FaultPlan([.init(.sync, calls: 2...2), .init(.snapshot, calls: 1...1), .init(.bulkLoad, calls: 1...1)]))
        try Self.apply(1, to: engine)
        try engine.sync()
        #expect(throws: EngineError.self) { try engine.sync() }
        try engine.sync()
        #expect(throws: EngineError.self) { try engine.snapshot() }
        #expect(try engine.snapshot().rows().count == 1)
        let other = try Self.engine(FaultPlan([.init(.bulkLoad, calls: 1...1)]))
        var rows = ArrayRows([Row(key: [1], value: [])])
        #expect(throws: EngineError.self) { try other.bulkLoad(&rows, at: LogPosition(term: 1, index: 1)) }
        #expect(try other.appliedPosition == .zero)
        try other.bulkLoad(&rows, at: LogPosition(term: 1, index: 1))
        #expect(try other.snapshot().rows().count == 1)
    }

    @Test func aSeedDecidesThePlan() {
        let plan = FaultPlan(seed: 4, count: 20, operations: [.apply, .sync], calls: 10...30)
        #expect(plan == FaultPlan(seed: 4, count: 20, operations: [.apply, .sync], calls: 10...30))
        #expect(plan != FaultPlan(seed: 5, count: 20, operations: [.apply, .sync], calls: 10...30))
        #expect(plan.faults.count == 20)
        #expect(plan.faults.allSatisfy { (10...30).contains($0.calls.lowerBound) && $0.calls.count == 1 })
        #expect(Set(plan.faults.map(\.operation)) == [.apply, .sync])
        #expect(Set(plan.faults.map(\.moment)).count == 2)
    }
}
