import T4Conformance
import Testing

/// Goal: every engine of this build keeps every rule of `LocalEngine`. Method: the public suite, on fresh storage each.
@Suite struct EngineConformanceTests {
    @Test(arguments: BuiltIn.engines, EngineRules.all)
    func holds(_ engine: EngineUnderTest, _ rule: EngineRule) async throws {
        try await rule.check(engine)
    }
}
