import T4Conformance
import T4Protocols
import Testing

/// Goal: the rules see what is wrong with a store. Method: stores with one defect each, and the rule that must see it.
@Suite struct StoreMutantTests {
    @Test(arguments: StoreDefect.allCases)
    func isCaught(_ defect: StoreDefect) async throws {
        let rule = try #require(ObjectStoreRules.all.first { $0.name.hasPrefix(defect.rawValue) })
        var subject = BuiltIn.memoryStore
        subject.largeBodyBytes = 1 << 20
        // The rule is one that the store without the defect keeps.
        try await rule.check(subject)
        if defect == .pretends {
            subject.capabilities.putsIfAbsent = false
            subject.capabilities.putsIfUnchanged = false
        }
        // A rule fails with a violation, or with an error that the store threw instead of working.
        await #expect(throws: (any Error).self) {
            try await rule.check(subject.wrapped("\(defect)") { BrokenStore($0, defect) })
        }
    }
}
