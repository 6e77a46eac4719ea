import ConformanceMutants
import T4Conformance
import T4Protocols
import Testing

/// Goal: a report tells what was run and how it ended. Method: rules made up for it, and harnesses that lack something.
@Suite struct ReportTests {
    private static let engine = BaseEngine.all[0].underTest(childProgram: .crashChild(BaseEngine.all[0].name))

    private static func rule(_ name: String) throws -> EngineRule {
        try #require(EngineRules.all.first { $0.name == name })
    }

    @Test func aBrokenRuleDoesNotStopTheOthers() async {
        let rules = [
            EngineRule("first") { _ in }, EngineRule("second") { _ in throw RuleViolation("as it should not be") },
            EngineRule("third") { engine in throw EngineError(.ioFailed, "\(engine.name) is on fire") },
            EngineRule("fourth") { _ in },
        ]
        let report = await EngineConformance.run(Self.engine, rules: rules)
        #expect(!report.isPassed)
        #expect(report.results.map(\.rule) == ["first", "second", "third", "fourth"])
        #expect(
            report.results.map(\.outcome) == [
                .passed, .broken("as it should not be"), .broken("logfile is on fire"), .passed,
            ])
        #expect(report.broken.map(\.rule) == ["second", "third"])
        #expect(report.description.hasSuffix("logfile: 2 passed, 2 broken, 0 not run"))
    }

    @Test func aReportWithoutAPassedRuleIsNotPassed() async {
        #expect(await !EngineConformance.run(Self.engine, rules: []).isPassed)
        var engine = Self.engine
        engine.childProgram = nil
        let report = await EngineConformance.run(engine, rules: EngineRules.all.filter { $0.name.contains("killed") })
        #expect(report.results.count == 2)
        #expect(report.results.allSatisfy { $0.outcome == .notRun("the harness names no childProgram") })
        #expect(!report.isPassed)
    }

    @Test func whatAHarnessDoesNotGiveIsNotRun() throws {
        var engine = Self.engine
        #expect(EngineRules.all.allSatisfy { $0.reasonNotToRun(on: engine) == nil })
        engine.damage = .undefined
        #expect(try Self.rule("changed bytes are told or harmless").reasonNotToRun(on: engine) != nil)
        engine.capabilities.isPowerLossSafe = false
        let powerLoss = "files whose last bytes did not reach the disk open at a whole batch"
        #expect(try Self.rule(powerLoss).reasonNotToRun(on: engine) != nil)
        engine.capabilities.isVolatile = true
        #expect(try Self.rule("a second writer is refused").reasonNotToRun(on: engine) != nil)
        #expect(try Self.rule("a batch shows whole, with its position").reasonNotToRun(on: engine) == nil)
    }

    /// A program that is not a child of the suite must not make it wait.
    @Test func aChildThatDoesNotPlayItsPartBreaksTheRule() async {
        var engine = Self.engine
        engine.childProgram = ChildProgram(executable: "/bin/true")
        let rules = EngineRules.all.filter { $0.name.contains("killed") || $0.name.contains("full disk") }
        let report = await EngineConformance.run(engine, rules: rules)
        #expect(report.broken.count == rules.count)
        #expect(report.broken.allSatisfy { $0.description.contains("exit code 0") }, "\(report)")
    }
}
