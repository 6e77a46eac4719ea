/// Runs the rules of `ObjectStore` on one store.
///
/// ```swift
/// let report = await StoreConformance.run(store) { print($0) }
/// exit(report.isPassed ? 0 : 1)
/// ```
public enum StoreConformance {
    /// Runs rules one after another, each on fresh storage; a rule that is broken does not stop the others.
    /// - Parameter progress: Called with each result as soon as it is there.
    public static func run(
        _ store: StoreUnderTest, rules: [ObjectStoreRule] = ObjectStoreRules.all,
        progress: @Sendable (RuleResult) -> Void = { _ in }
    ) async -> ConformanceReport {
        await ConformanceReport.of(
            store.name, rules.map { rule in (rule.name, { try await rule.check(store) }) }, progress)
    }
}
