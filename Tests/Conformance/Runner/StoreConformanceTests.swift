import T4Conformance
import Testing

/// Goal: every store of this build that needs no server, and every wrapper, keeps every rule of `ObjectStore`.
/// Method: the public suite, on fresh storage each.
@Suite struct StoreConformanceTests {
    @Test(arguments: BuiltIn.stores, ObjectStoreRules.all)
    func holds(_ store: StoreUnderTest, _ rule: ObjectStoreRule) async throws {
        try await rule.check(store)
    }

    @Test(
        arguments: ObjectStoreRules.all.filter { rule in
            !BuiltIn.rulesOfReplacedParts.contains { rule.name.hasPrefix($0) }
        })
    func holdsWhileReadingAhead(_ rule: ObjectStoreRule) async throws {
        try await rule.check(BuiltIn.readAhead)
    }

    /// One call runs all of them, and goes on where one is broken.
    @Test func aRunReportsEachRule() async {
        let rules = [
            ObjectStoreRule("first") { _ in },
            ObjectStoreRule("second") { _ in throw RuleViolation("as it should not be") },
            ObjectStoreRule("third") { _ in },
        ]
        let report = await StoreConformance.run(BuiltIn.memoryStore, rules: rules)
        #expect(report.results.map(\.rule) == ["first", "second", "third"])
        #expect(report.results.map(\.outcome) == [.passed, .broken("as it should not be"), .passed])
        #expect(!report.isPassed)
        #expect(report.description.hasSuffix("memory: 2 passed, 1 broken, 0 not run"))
        #expect(await !StoreConformance.run(BuiltIn.memoryStore, rules: []).isPassed)
    }

    @Test func rulesHaveNamesOfTheirOwn() {
        #expect(Set(ObjectStoreRules.all.map(\.name)).count == ObjectStoreRules.all.count)
    }
}
