import Foundation
import Logging
import Synchronization
import T4Protocols
import Testing

@testable import S3Store

/// A wall clock that a test moves.
final class TestClock: Sendable {
    private let seconds: Mutex<Int>

    init(_ seconds: Int) { self.seconds = Mutex(seconds) }

    func advance(by seconds: Int) { self.seconds.withLock { $0 += seconds } }

    var clock: WallClock { WallClock { UTCTime(seconds: self.seconds.withLock { $0 }) } }
}

/// 24 May 2013, midnight: the time of the examples in AWS's documentation.
let exampleTime = UTCTime(seconds: 1_369_353_600)

extension S3Environment {
    /// Surroundings with nothing in them, at a fixed time.
    static func test(_ variables: [String: String] = [:], clock: WallClock? = nil) -> S3Environment {
        let fixed = WallClock { exampleTime }
        // The machine's own proxies, profiles and roles are not part of a test.
        let base = ["HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"]
        return S3Environment(variables: base.merging(variables) { _, new in new }, clock: clock ?? fixed)
    }
}

extension StoreContext {
    static var test: StoreContext {
        StoreContext(
            dataDirectory: "/nonexistent", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
}

/// Runs `body` with a store that talks to a scripted server.
func withStore(
    _ server: ScriptedServer, environment: S3Environment = .test(), change: (inout S3Settings) -> Void = { _ in },
    _ body: (S3Store) async throws -> Void
) async throws {
    var settings = S3Settings(bucket: "bucket")
    settings.endpoint = server.endpoint
    settings.accessKeyID = "AKIAIOSFODNN7EXAMPLE"
    settings.secretAccessKey = S3Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    settings.requestTimeout = .seconds(600)
    change(&settings)
    let store = try S3Store(settings, context: .test, environment: environment)
    do {
        try await body(store)
    } catch {
        await store.close()
        server.stop()
        throw error
    }
    await store.close()
    server.stop()
}

/// The code of the error that `body` throws; nil when it throws none.
func code(_ body: () async throws(ObjectStoreError) -> Void) async -> ObjectStoreError.Code? {
    do throws(ObjectStoreError) {
        try await body()
        return nil
    } catch {
        return error.code
    }
}

/// A folder that is removed with the last reference.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        var template = Array("\(FileManager.default.temporaryDirectory.path)/t4-s3.XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ text: String) throws -> String {
        let file = "\(path)/\(name)"
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        return file
    }
}
