/// Runs the rules of `LocalEngine` on one engine.
///
/// ```swift
/// let report = await EngineConformance.run(engine) { print($0) }
/// exit(report.isPassed ? 0 : 1)
/// ```
public enum EngineConformance {
    /// Runs rules one after another, each on fresh storage; a rule that is broken does not stop the others.
    /// - Parameter progress: Called with each result as soon as it is there.
    public static func run(
        _ engine: EngineUnderTest, rules: [EngineRule] = EngineRules.all,
        progress: @Sendable (RuleResult) -> Void = { _ in }
    ) async -> ConformanceReport {
        var report = ConformanceReport(subject: engine.name)
        for rule in rules {
            let result: RuleResult
            if let reason = rule.reasonNotToRun(on: engine) {
                result = RuleResult(rule: rule.name, outcome: .notRun(reason), duration: .zero)
            } else {
                result = await RuleResult.of(rule.name) { try await rule.check(engine) }
            }
            report.results.append(result)
            progress(result)
        }
        return report
    }
}

/// How an engine or a store did under one rule.
public struct RuleResult: Sendable, CustomStringConvertible {
    /// What came of a rule.
    public enum Outcome: Hashable, Sendable {
        /// The rule holds.
        case passed
        /// It does not; the text says what was expected and seen.
        case broken(String)
        /// The rule says nothing about this backend or needs what its harness does not give; the text says which.
        case notRun(String)
    }

    /// The rule's name.
    public var rule: String
    /// What came of it.
    public var outcome: Outcome
    /// How long it took.
    public var duration: Duration

    /// One line: outcome, rule and reason.
    public var description: String {
        switch outcome {
        case .passed: "passed   \(rule)"
        case .broken(let reason): "BROKEN   \(rule): \(reason)"
        case .notRun(let reason): "not run  \(rule): \(reason)"
        }
    }

    /// Tries a rule.
    static func of(_ rule: String, _ check: () async throws -> Void) async -> RuleResult {
        let clock = ContinuousClock()
        let start = clock.now
        var outcome = Outcome.passed
        do { try await check() } catch { outcome = .broken("\(error)") }
        return RuleResult(rule: rule, outcome: outcome, duration: clock.now - start)
    }
}

/// How an engine or a store did under all rules.
public struct ConformanceReport: Sendable, CustomStringConvertible {
    /// The engine's or the store's name.
    public var subject: String
    /// One result for each rule, in the order they were run.
    public var results: [RuleResult] = []

    /// The results of the rules that do not hold.
    public var broken: [RuleResult] {
        results.filter { if case .broken = $0.outcome { true } else { false } }
    }

    /// Tries rules one after another, under their names.
    static func of(
        _ subject: String, _ rules: [(name: String, check: () async throws -> Void)], _ progress: (RuleResult) -> Void
    ) async -> ConformanceReport {
        var report = ConformanceReport(subject: subject)
        for rule in rules {
            let result = await RuleResult.of(rule.name, rule.check)
            report.results.append(result)
            progress(result)
        }
        return report
    }

    /// True when rules were run and none of them is broken. Rules that were not run do not count.
    public var isPassed: Bool { results.contains { $0.outcome == .passed } && broken.isEmpty }

    /// A line for each rule that was broken or not run, and a line with the numbers.
    public var description: String {
        let passed = results.count { $0.outcome == .passed }
        let lines = results.filter { $0.outcome != .passed }.map(\.description)
        let notRun = results.count - passed - broken.count
        return (lines + ["\(subject): \(passed) passed, \(broken.count) broken, \(notRun) not run"])
            .joined(separator: "\n")
    }
}
