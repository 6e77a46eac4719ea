import Foundation

/// Where things lie, and what the environment chooses.
enum TestEnvironment {
    /// The root of the checkout.
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    static let scripts = root.appending(path: "Tests/ProcessTests/Scripts")

    private static let variables = ProcessInfo.processInfo.environment

    /// Set to run what takes minutes.
    static let isSlowAllowed = variables["T4_TEST_SLOW"] == "1"

    /// Narrows a list of scripts to the one that T4_TEST_SCRIPT names.
    static func chosen(of scripts: [String]) -> [String] {
        variables["T4_TEST_SCRIPT"].map { [$0] } ?? scripts
    }

    /// Narrows the kills of `KillPointTests` to those with this in their names: T4_TEST_KILL.
    static let killFilter = variables["T4_TEST_KILL"]

    /// How many rounds a crash test runs: T4_TEST_ROUNDS, or `slow` where there is time, or `count`.
    static func rounds(default count: Int, slow: Int = 100) -> Int {
        variables["T4_TEST_ROUNDS"].flatMap { Int($0) } ?? (isSlowAllowed ? slow : count)
    }

    /// How many steps a random script has: T4_TEST_STEPS, or `slow` where there is time, or `count`.
    static func steps(default count: Int, slow: Int) -> Int {
        variables["T4_TEST_STEPS"].flatMap { Int($0) } ?? (isSlowAllowed ? slow : count)
    }

    /// Where random tests begin: T4_TEST_SEED, or another place each time; failures name it.
    static let seed = variables["T4_TEST_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64.max)

    /// The server whose behaviour is compared with etcd's: t4, or etcd itself to show that the tests are repeatable.
    static let subject: ServerUnderTest.Kind =
        variables["T4_TEST_SUBJECT"] == "etcd" ? .etcd : .t4(engine: variables["T4_TEST_ENGINE"])

    /// The folder with etcd, etcdctl and etcdutl: ETCD_TOOLS, or what scripts/fetch-etcd installed.
    static func tool(_ name: String) throws -> String {
        let folder = variables["ETCD_TOOLS"].map { URL(filePath: $0) } ?? root.appending(path: ".build/tools/etcd")
        let path = folder.appending(path: name).path
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw ProcessFailure("there is no \(path): run scripts/fetch-etcd once, which installs it")
        }
        return path
    }

    /// The t4 binary: T4_BINARY, or the one that was built beside this test bundle.
    static func t4Binary() throws -> String {
        if let path = variables["T4_BINARY"] { return path }
        let bundle = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let path = URL(filePath: bundle).deletingLastPathComponent().appending(path: "t4").path
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw ProcessFailure("there is no \(path): build the product t4, or name the binary in T4_BINARY")
        }
        return path
    }

    /// The engines of the t4 binary, as its message about an unknown one lists them.
    static func engines() async throws -> [String] {
        let process = try ChildProcess(
            t4Binary(), ["engine", "convert", "--to", "nosuch", "--data-dir", "/nonexistent"], environment: forChildren)
        _ = try await process.wait()
        let said = process.errors.value.description
        guard let known = said.firstMatch(of: /no engine named "nosuch" in this build \(known: (?<names>.+)\)/) else {
            throw ProcessFailure("t4 does not name its engines: \(said)")
        }
        return known.names.split(separator: ", ").map(String.init)
    }

    /// What children see of the environment: no setting of the caller's that would change what they do.
    ///
    /// A busy machine must not make clients in this process look like hostile ones: servers wait long for them.
    static let forChildren = variables.filter { name, _ in
        !name.hasPrefix("ETCD") && !name.hasPrefix("T4_") && !name.lowercased().hasSuffix("_proxy")
    }.merging(["T4_HANDSHAKE_TIMEOUT": "10m", "T4_REQUEST_TIMEOUT": "10m"]) { $1 }
}

/// A folder that exists as long as the body runs.
func withTemporaryDirectory<Result: Sendable>(
    _ body: (URL) async throws -> Result, isolation: isolated (any Actor)? = #isolation,
) async throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "t4-process-tests-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    do {
        let result = try await body(folder)
        try FileManager.default.removeItem(at: folder)
        return result
    } catch {
        try? FileManager.default.removeItem(at: folder)
        throw error
    }
}
