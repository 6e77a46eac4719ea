import Foundation
import T4Protocols

@testable import S3Store

/// A service to test against: that of `T4_TEST_S3_ENDPOINT`, else moto.
///
/// `T4_TEST_S3_ENDPOINT` (or `aws`), `T4_TEST_S3_BUCKET`, and as needed `T4_TEST_S3_REGION`, `T4_TEST_S3_ACCESS_KEY_ID`,
/// `T4_TEST_S3_SECRET_ACCESS_KEY`, `T4_TEST_S3_CA_FILE`; without keys, those that the store finds by itself.
struct S3UnderTest: Sendable {
    let store: S3Store
    let settings: S3Settings
    let environment: S3Environment
    /// Before every name of this test, so that tests share a bucket.
    let prefix: String

    /// True where there is a service at all.
    static var isAvailable: Bool { named != nil || MotoServer.isInstalled }

    private static var named: String? { ProcessInfo.processInfo.environment["T4_TEST_S3_ENDPOINT"] }

    /// Fresh, empty storage: a new bucket in moto, an unused prefix in a named service.
    ///
    /// To run the conformance suite over S3, hand `store` to its runner, behind the prefix wrapper where `prefix` is not
    /// empty, and call `remove()` at the end.
    static func make(change: (inout S3Settings) -> Void = { _ in }) async throws -> S3UnderTest {
        if named != nil { return try makeNamed(change: change) }
        return try await make(moto: try MotoServer.shared.get(), change: change)
    }

    static func make(
        moto: MotoServer, change: (inout S3Settings) -> Void = { _ in }
    ) async throws -> S3UnderTest {
        var settings = S3Settings(bucket: "t4-\(UUID().uuidString.lowercased())")
        settings.endpoint = moto.endpoint
        settings.accessKeyID = moto.accessKeyID
        settings.secretAccessKey = S3Secret(moto.secretAccessKey)
        settings.caFile = moto.caFile
        change(&settings)
        let under = try S3UnderTest(settings, .test(clock: .system), prefix: "")
        try await under.store.send(S3Request(method: .put, key: nil), .repeatable)
        return under
    }

    private static func makeNamed(change: (inout S3Settings) -> Void) throws -> S3UnderTest {
        let variables = ProcessInfo.processInfo.environment
        var settings = S3Settings(bucket: variables["T4_TEST_S3_BUCKET"] ?? "t4-test")
        settings.endpoint = named == "aws" ? nil : named
        settings.region = variables["T4_TEST_S3_REGION"]
        settings.accessKeyID = variables["T4_TEST_S3_ACCESS_KEY_ID"]
        settings.secretAccessKey = variables["T4_TEST_S3_SECRET_ACCESS_KEY"].map { S3Secret($0) }
        settings.caFile = variables["T4_TEST_S3_CA_FILE"]
        change(&settings)
        return try S3UnderTest(settings, .process, prefix: "t4-test-\(UUID().uuidString.lowercased())/")
    }

    private init(_ settings: S3Settings, _ environment: S3Environment, prefix: String) throws {
        store = try S3Store(settings, context: .test, environment: environment)
        self.settings = settings
        self.environment = environment
        self.prefix = prefix
    }

    /// A name of this test.
    func key(_ name: String) -> ObjectKey { ObjectKey(prefix + name) }

    /// Another store over the same storage, as another process would open it.
    func reopened() throws -> S3Store { try S3Store(settings, context: .test, environment: environment) }

    /// Deletes what the test left, and closes the store.
    func remove() async throws {
        while true {
            let page = try await store.list(prefix: ObjectKey(prefix), after: nil, limit: 1000)
            try await store.delete(page.objects.map(\.key))
            if !page.hasMore { break }
        }
        await store.close()
    }

    /// Runs `body` on fresh storage, which is gone afterwards.
    static func with(
        change: (inout S3Settings) -> Void = { _ in }, _ body: (S3UnderTest) async throws -> Void
    ) async throws {
        let under = try await make(change: change)
        do {
            try await body(under)
        } catch {
            try await under.remove()
            throw error
        }
        try await under.remove()
    }
}
