import T4Conformance
import Testing

/// Goal: every store of this build that needs no server, and every wrapper, keeps every rule of `ObjectStore`.
/// Method: the public suite, on fresh storage each.
@Suite struct StoreConformanceTests {
    @Test(arguments: BuiltIn.stores, ObjectStoreRules.all)
    func holds(_ store: StoreUnderTest, _ rule: ObjectStoreRule) async throws {
        try await rule.check(store)
    }

    @Test func rulesHaveNamesOfTheirOwn() {
        #expect(Set(ObjectStoreRules.all.map(\.name)).count == ObjectStoreRules.all.count)
    }
}
