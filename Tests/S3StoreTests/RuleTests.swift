import T4Conformance
import T4Core
import T4Protocols
import Testing

@testable import S3Store

/// Goal: the store keeps every rule of `ObjectStore` on a service that speaks S3.
/// Method: the public suite, on fresh storage each, on the service that the other tests use.
@Suite(.enabled(if: S3UnderTest.isAvailable, "scripts/fetch-moto installs the service that these tests want"))
struct RuleTests {
    private static let store = StoreUnderTest(
        name: "s3",
        capabilities: ObjectStoreCapabilities(putsIfAbsent: true, putsIfUnchanged: true, isDurable: true)
    ) {
        let under = try await S3UnderTest.make()
        return StoreStorage(
            open: {
                let store = try under.reopened()
                return under.prefix.isEmpty ? store : PrefixedStore(store, prefix: under.prefix)
            },
            remove: { try await under.remove() })
    }

    @Test(
        arguments: ObjectStoreRules.all.filter { rule in
            !rule.name.hasPrefix(RuleTests.refused)
        })
    func holds(_ rule: ObjectStoreRule) async throws {
        try await rule.check(RuleTests.store)
    }

    /// Names that not every service tells apart are refused, on all of them; t4 needs none of these.
    private static let refused = "names with dots for parts"

    @Test func dotsForPartsAreRefused() async throws {
        let rule = try #require(ObjectStoreRules.all.first { $0.name.hasPrefix(RuleTests.refused) })
        #expect(!rule.isNeeded)
        let error = await #expect(throws: ObjectStoreError.self) { try await rule.check(RuleTests.store) }
        #expect(error?.code == .invalidArgument)
    }
}
