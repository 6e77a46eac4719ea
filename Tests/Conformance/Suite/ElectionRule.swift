/// One thing that every election must do, as a value that any test or tool can run.
public struct ElectionRule: Sendable, CustomStringConvertible {
    /// What holds.
    public var name: String
    /// Throws a `RuleViolation` that says what did not hold, or the error that the election threw instead of working.
    public var check: @Sendable (ElectionUnderTest) async throws -> Void

    /// Names a rule.
    public init(_ name: String, check: @escaping @Sendable (ElectionUnderTest) async throws -> Void) {
        self.name = name
        self.check = check
    }

    /// The rule's name.
    public var description: String { name }
}

/// The rules of `Election`.
public enum ElectionRules {
    /// Every rule; the random ones with fixed seeds.
    public static var all: [ElectionRule] { recordRules + fenceRules + raceRules + [1, 2].map(model(seed:)) }
}

/// Runs the rules of `Election` on one election, as `StoreConformance` does those of a store.
public enum ElectionConformance {
    /// Runs rules one after another, each on a fresh place; a rule that is broken does not stop the others.
    /// - Parameter progress: Called with each result as soon as it is there.
    public static func run(
        _ election: ElectionUnderTest, rules: [ElectionRule] = ElectionRules.all,
        progress: @Sendable (RuleResult) -> Void = { _ in }
    ) async -> ConformanceReport {
        await ConformanceReport.of(
            election.name, rules.map { rule in (rule.name, { try await rule.check(election) }) }, progress)
    }
}
