import ConformanceMutants
import T4Conformance
import T4Protocols
import Testing

/// Goal: every engine of this build, the example and every wrapper keep every rule of `LocalEngine`.
/// Method: the public suite, on fresh storage each; rules that say nothing about an engine are left out.
@Suite struct EngineConformanceTests {
    struct Trial: Sendable, CustomTestStringConvertible {
        var engine: EngineUnderTest
        var rule: EngineRule

        var testDescription: String { "\(engine.name): \(rule.name)" }
    }

    static let engines = BuiltIn.engines + BaseEngine.all.map { $0.underTest(childProgram: .crashChild($0.name)) }

    static let trials = engines.flatMap { engine in
        EngineRules.all.filter { $0.reasonNotToRun(on: engine) == nil }.map { Trial(engine: engine, rule: $0) }
    }

    @Test(arguments: trials)
    func holds(_ trial: Trial) async throws {
        try await trial.rule.check(trial.engine)
    }
}

/// Goal: the suite can fail. Method: engines that are broken on purpose, each under a rule that has to notice it.
@Suite struct MutantTests {
    @Test(arguments: Mutant.all)
    func isCaught(_ mutant: Mutant) async throws {
        let rule = try #require(EngineRules.all.first { $0.name == mutant.rule }, "no rule named \(mutant.rule)")
        let engine = mutant.underTest(childProgram: .crashChild(mutant.name))
        try #require(rule.reasonNotToRun(on: engine) == nil)
        let report = await EngineConformance.run(engine, rules: [rule])
        #expect(report.broken.count == 1, "\(report)")
    }

    /// A rule that no mutant breaks may have lost its teeth.
    @Test func everyRuleCatchesSomething() {

        let unproven = EngineRules.all.map(\.name).filter { name in !Mutant.all.contains { $0.rule == name } }
        #expect(unproven.isEmpty, "\(unproven)")
    }
}
