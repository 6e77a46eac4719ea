import Foundation
import T4Conformance
import Testing

/// Goal: the commands that work on a store without a node find it as `t4 run` would, and say what is wrong with it.
/// Method: whole processes, on folders and on a server that refuses.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct StoreCommandTests {
    private struct Ended {
        var status: ExitStatus
        var output: String
        var errors: String
    }

    private static func t4(
        _ arguments: [String], environment: [String: String] = [:], within limit: Duration = .seconds(300)
    ) async throws -> Ended {
        let process = try ChildProcess(
            TestEnvironment.t4Binary(), arguments, environment: TestEnvironment.forChildren.merging(environment) { $1 })
        let status = try await process.wait(within: limit)
        return Ended(
            status: status, output: process.output.value.description, errors: process.errors.value.description)
    }

    private static let first = "checkpoint/0000000001/00000000000000000050/manifest.json"
    private static let second = "checkpoint/0000000001/00000000000000000100/manifest.json"
    private static let head = """
        {"checkpoint":"\(second)","database":"000102030405060708090a0b0c0d0e0f","format":1,"id":"\
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","index":104,"nonce":"\
        ffffffffffffffffffffffffffffffff","revision":100,"sequence":2,"sum":"\
        d4f22cb721ad483db9179ebf70c82e10975fca5f0a2872495c786a75b866b43d","term":1}
        """

    /// A store with two checkpoints below `t4/`.
    private static func makeStore(_ folder: URL) throws -> StoreFolder {
        let store = try StoreFolder(folder)
        for name in [first, second] { try store.put("t4/\(name)", "not read") }
        try store.put("t4/manifest/latest", head)
        try store.put("t4/wal/00000000000000000001", "not listed")
        return store
    }

    @Test func restoreListShowsTheCheckpoints() async throws {
        try await withTemporaryDirectory { folder in
            let store = try Self.makeStore(folder.appending(path: "data/store"))
            let wanted = """
                CHECKPOINT                                                                  REVISION    TERM
                \(Self.first)                          50       1
                \(Self.second)                         100       1  (latest)

                """
            // By each of the ways to say where it is.
            let file = folder.appending(path: "t4.toml")
            let toml =
                "[store]\ntype = \"filesystem\"\nprefix = \"t4/\"\n[store.filesystem]\npath = \"\(store.url.path)\"\n"
            try toml.write(to: file, atomically: true, encoding: .utf8)
            let data = folder.appending(path: "data").path
            let list = ["restore", "list"]
            for (arguments, environment) in [
                (["--data-dir", data, "--store-prefix", "t4/"], [:]),
                (["--store-prefix=t4"], ["T4_DATA_DIR": data]),
                (
                    ["--store-type", "filesystem", "--store-filesystem-path", store.url.path, "--store-prefix", "t4"],
                    [:]
                ),
                (["--config", file.path], [:]), ([], ["T4_CONFIG": file.path]),
            ] {
                let ended = try await Self.t4(list + arguments, environment: environment)
                #expect(ended.output == wanted && ended.errors == "" && ended.status == .code(0), "\(arguments)")
            }
            let json = try await Self.t4(list + ["--config", file.path, "--json"])
            struct Row: Decodable, Equatable {
                var checkpoint: String, revision: Int, term: Int, latest: Bool
            }
            let rows = try JSONDecoder().decode([Row].self, from: Data(json.output.utf8))
            #expect(
                rows == [
                    Row(checkpoint: Self.first, revision: 50, term: 1, latest: false),
                    Row(checkpoint: Self.second, revision: 100, term: 1, latest: true),
                ])
        }
    }

    @Test func restoreListOfAnEmptyStore() async throws {
        try await withTemporaryDirectory { folder in
            let store = try Self.makeStore(folder.appending(path: "store"))
            let place = ["--store-filesystem-path", store.url.path, "--store-type", "filesystem"]
            let empty = try await Self.t4(["restore", "list"] + place)
            #expect(empty.output == "no checkpoints below file://\(store.url.path)/\n")
            let other = try await Self.t4(["restore", "list", "--json", "--store-prefix", "other/"] + place)
            #expect(try JSONDecoder().decode([String].self, from: Data(other.output.utf8)) == [])
            // Every command says so of a place without a database.
            let commands = [["status"], ["status", "--json"], ["verify"], ["gc"], ["branch", "list"]]
            var all = [empty, other]
            for command in commands { all.append(try await Self.t4(command + place)) }
            for ended in all {
                #expect(ended.status == .code(1))
                #expect((ended.output + ended.errors).contains("there is no database "), "\(ended)")
            }
        }
    }

    @Test func restoreListSaysWhatIsWrongWithTheHead() async throws {
        try await withTemporaryDirectory { folder in
            let store = try Self.makeStore(folder.appending(path: "store"))
            try store.put("t4/manifest/latest", Self.head.replacing("\"term\":1", with: "\"term\":2"))
            let place = ["--store-filesystem-path", store.url.path, "--store-prefix", "t4"]
            let ended = try await Self.t4(["restore", "list"] + place)
            #expect(ended.status == .code(1))
            #expect(ended.errors == "t4: the hash in manifest/latest does not match its content\n")
            #expect(ended.output.contains(Self.first) && !ended.output.contains("(latest)"))
        }
    }

    @Test func aStoreThatIsNotThereIsNotMade() async throws {
        try await withTemporaryDirectory { folder in
            let data = folder.appending(path: "data").path
            let absent = try await Self.t4(["restore", "list", "--data-dir", data])
            #expect(absent.status == .code(1) && absent.output == "")
            #expect(
                absent.errors.hasPrefix(
                    "t4: there is no object store at file://\(data)/store/: the folder \(data)/store does not exist; "))
            #expect(!FileManager.default.fileExists(atPath: data))
            for command in [["restore", "list"], ["verify-store"]] {
                let none = try await Self.t4(command + ["--store-type", "none"])
                #expect(none.status == .code(1) && none.errors.hasPrefix("t4: there is no object store: store.type is"))
            }
            // Whatever is wrong with the configuration is an error here too.
            let wrong = try await Self.t4(["verify-store", "--data-dir", data], environment: ["T4_LISTEN": "nowhere"])
            #expect(wrong.status == .code(64) && wrong.errors.hasPrefix("t4: T4_LISTEN: node.listen: "))
        }
    }

    @Test(arguments: [
        ("404 Not Found", "NoSuchBucket", "does not exist; check bucket, endpoint and region"),
        ("403 Forbidden", "SignatureDoesNotMatch", "check the access key, the secret key and what they may do"),
        ("403 Forbidden", "InvalidAccessKeyId", "check the access key, the secret key and what they may do"),
        ("", "", "check the endpoint, and that it can be reached from here"),
    ])
    func aBucketThatCannotBeUsed(_ status: String, _ code: String, _ advice: String) async throws {
        let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>\(code)</Code></Error>"
        let server = try CannedServer(status: status, body: body)
        // Without an answer in mind, nobody listens.
        if status.isEmpty { server.stop() }
        defer { server.stop() }
        let place = [
            "--s3-bucket", "my-bucket", "--s3-prefix", "t4/", "--s3-endpoint", "http://127.0.0.1:\(server.port)",
            "--s3-access-key-id", "AKIA", "--s3-secret-access-key", "hunter2-hunter2",
        ]
        for command in [["restore", "list"], ["verify-store"]] {
            let ended = try await Self.t4(command + place)
            if ended.errors.contains("no store named \"s3\" in this build") { return }
            #expect(ended.status == .code(1) && ended.output == "", "\(ended)")
            #expect(ended.errors.hasPrefix("t4: cannot use s3://my-bucket/t4/: "), "\(ended)")
            #expect(ended.errors.contains(advice) && ended.errors.split(separator: "\n").count == 1, "\(ended)")
            #expect(!ended.errors.contains("hunter2"))
        }
    }

    @Test func verifyStoreTriesAFolder() async throws {
        try await withTemporaryDirectory { folder in
            let path = folder.appending(path: "store").path
            let arguments = ["--store-filesystem-path", path, "--store-prefix", "t4", "--json"]
            let ended = try await Self.t4(["verify-store"] + arguments, within: .seconds(300))
            struct Report: Decodable {
                var store: String, prefix: String, holds: Bool
            }
            let report = try JSONDecoder().decode(Report.self, from: Data(ended.output.utf8))
            #expect(report.store == "filesystem" && report.holds && report.prefix.hasPrefix("t4/verify-store-"))
            #expect(ended.status == .code(0) && ended.errors == "")
            // Nothing is left but the store itself.
            let objects = try FileManager.default.subpathsOfDirectory(atPath: path + "/objects")
            #expect(objects.allSatisfy { !$0.hasSuffix("=") }, "\(objects)")
        }
    }
}
