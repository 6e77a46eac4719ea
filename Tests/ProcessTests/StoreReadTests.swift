import Foundation
import T4Conformance
import Testing

/// Goal: a database can be looked at, verified and summed up where it lies in its object store.
/// Method: whole processes, on a folder that a node of format version 1 might have left.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct StoreReadTests {
    private struct Ended {
        var status: ExitStatus
        var output: String
        var errors: String
    }

    private static func t4(_ arguments: [String]) async throws -> Ended {
        let process = try ChildProcess(
            TestEnvironment.t4Binary(), arguments, environment: TestEnvironment.forChildren)
        let status = try await process.wait()
        return Ended(
            status: status, output: process.output.value.description, errors: process.errors.value.description)
    }

    /// Runs commands on a store with the small database; they are given where it is.
    private static func withStore(
        _ body: (_ store: StoreFolder, _ t4: ([String]) async throws -> Ended) async throws -> Void
    ) async throws {
        try await withTemporaryDirectory { folder in
            let store = try StoreFolder(folder.appending(path: "store"))
            try SmallDatabase.fill(store)
            let place = [
                "--store-type", "filesystem", "--store-filesystem-path", store.url.path, "--store-prefix", "db",
            ]
            try await body(store) { try await t4($0 + place) }
        }
    }

    // MARK: - Inspection

    @Test func aCheckpointIsInspectedWhereItLies() async throws {
        try await Self.withStore { _, t4 in
            let latest = ["--checkpoint", "latest"]
            let meta = try await t4(["inspect", "meta"] + latest)
            #expect(
                meta.output == """
                    Checkpoint:       \(SmallDatabase.checkpoints[2])
                    Database id:      9fd6afa5e1476f1e4b8f7307bd220a09
                    Current revision: 8
                    Compact revision: 0
                    Total keys:       3
                    Term:             1
                    Last log index:   8

                    """, "\(meta)")
            let get = try await t4(["inspect", "get", "app/a"] + latest)
            #expect(
                get.output == """
                    Key:             "app/a"
                    Value:           "6"
                    Revision:        8
                    Create revision: 2
                    Prev revision:   4
                    Version:         3
                    Lease:           0

                    """, "\(get)")
            let list = try await t4(["inspect", "list", "app/", "--checkpoint", SmallDatabase.checkpoints[1]])
            #expect(
                list.output == """
                    KEY      REV  CREATE  PREV  LEASE  VALUE
                    "app/a"  4    2       2     0      "3"
                    "app/b"  3    3       0     0      "2"

                    Listed 2 key(s)

                    """, "\(list)")
            for (arguments, count) in [([], "3\n"), (["--prefix", "app/"], "app/: 2\n")] {
                let ended = try await t4(["inspect", "count"] + arguments + latest)
                #expect(ended.output == count, "\(ended)")
            }
            let history = try await t4(["inspect", "history", "app/b"] + latest)
            #expect(
                history.output == """
                    REV  TYPE    CREATE  PREV  LEASE  VALUE
                    3    put     3       0     0      "2"
                    6    delete  0       3     0      (absent)

                    Listed 2 event(s)

                    """, "\(history)")
            let gone = try await t4(["inspect", "get", "app/b"] + latest)
            #expect(gone.status == .code(1) && gone.errors == "t4: key \"app/b\" not found\n")
            let json = try await t4(["inspect", "meta", "--json"] + latest)
            let fields = try #require(JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
            #expect(fields["checkpoint"] as? String == SmallDatabase.checkpoints[2] && fields["data_dir"] == nil)
            for ended in [meta, get, list, history, json] { #expect(ended.status == .code(0) && ended.errors == "") }
        }
    }

    @Test func twoCheckpointsAreCompared() async throws {
        try await Self.withStore { _, t4 in
            let wanted = """
                KEY      TYPE     FIRST_REV  LAST_REV  OPS  BEFORE    AFTER
                "app/a"  updated  8          8         1    "3"       "6"
                "app/b"  deleted  6          6         1    "2"       (absent)
                "app/c"  created  7          7         1    (absent)  "5"

                Changed 3 key(s)

                """
            let (first, second) = (SmallDatabase.checkpoints[1], SmallDatabase.checkpoints[2])
            for arguments in [
                ["--checkpoint", first, "--with-checkpoint", "latest"],
                ["--checkpoint", first, "--with-checkpoint", second],
                ["--checkpoint", "latest", "--from-rev", "6"],
            ] {
                let ended = try await t4(["inspect", "diff"] + arguments)
                #expect(ended.output == wanted && ended.status == .code(0) && ended.errors == "", "\(ended)")
            }
            let wrongOrder = try await t4(["inspect", "diff", "--checkpoint", second, "--with-checkpoint", first])
            #expect(wrongOrder.status == .code(1) && wrongOrder.errors.contains("is older than the first"))
        }
    }

    @Test func whatIsNotThereIsSaid() async throws {
        try await Self.withStore { store, t4 in
            let absent = "checkpoint/0000000001/00000000000000000007/manifest.json"
            for (checkpoint, reason) in [
                (absent, "there is no checkpoint \(absent) at file://\(store.url.path)/db/; t4 restore list"),
                ("newest", "newest is not the name of a checkpoint; t4 restore list"),
            ] {
                let ended = try await t4(["inspect", "meta", "--checkpoint", checkpoint])
                #expect(ended.status == .code(1) && ended.errors.hasPrefix("t4: " + reason), "\(ended)")
            }
        }
    }

    @Test(arguments: [
        ["inspect", "get", "a", "--s3-bucket", "b"], ["inspect", "diff", "--with-checkpoint", "latest"],
        ["inspect", "diff", "--checkpoint", "latest", "--with-checkpoint", "latest", "--from-rev", "1"],
        ["verify", "--latest-only"], ["verify", "stray"], ["status", "stray"],
        // What names a moment, a checkpoint or a file and is empty must not mean the present, the newest or none.
        ["status", "--s3-bucket", "b", "--s3-as-of", ""], ["status", "--config", ""],
        ["inspect", "meta", "--checkpoint", ""], ["branch", "fork", "--branch-id", "a", "--checkpoint", ""],
        ["branch", "fork", "--branch-id", "a", "--to-time", ""],
        ["restore", "checkpoint", "--data-dir", "/nonexistent/d", "--checkpoint", ""],
        ["restore", "checkpoint", "--data-dir", "/nonexistent/d", "--to-time", ""],
        ["restore", "checkpoint", "--data-dir", "/nonexistent/d", "--to-revision", ""],
        ["run", "--data-dir", "/nonexistent/d", "--restore-point-time", ""],
        ["run", "--data-dir", "/nonexistent/d", "--branch-checkpoint", ""],
    ])
    func aWrongCommandLineEndsWith64(_ arguments: [String]) async throws {
        let ended = try await Self.t4(arguments)
        #expect(ended.status == .code(64) && ended.output == "")
    }

    // MARK: - Verification

    @Test func anIntactDatabaseIsVerified() async throws {
        try await Self.withStore { store, t4 in
            func size(_ prefix: String) -> Int {
                SmallDatabase.objects.filter { $0.key.hasPrefix(prefix) && $0.key != SmallDatabase.orphan }.values
                    .reduce(0) { $0 + $1.count }
            }
            let ended = try await t4(["verify", "--deep"])
            #expect(
                ended.output == """
                    Verifying file://\(store.url.path)/db/

                    database:     1 object(s)  \(size("database")) bytes
                    head:         1 object(s)  \(size("manifest/")) bytes
                    checkpoints:  3 object(s)  \(size("checkpoint/")) bytes
                    tables:       2 object(s)  \(size("sst/")) bytes
                    log:          9 object(s)  \(size("wal/")) bytes
                    pins:         0 object(s)  0 bytes
                    collection:   0 object(s)  0 bytes
                    The log ends with entry 9, term 1.
                    Added up 3 checkpoint(s), and 2 stretch(es) of the log between two.

                    note: \(SmallDatabase.orphan): used by no checkpoint that can be read, \
                    \(SmallDatabase.objects[SmallDatabase.orphan]!.count) bytes

                    Nothing is wrong

                    """, "\(ended)")
            #expect(ended.status == .code(0) && ended.errors == "")
        }
    }

    private struct Report: Decodable {
        struct Finding: Decodable {
            var object: String
            var what: String
        }
        var clean: Bool
        var last_index: Int
        var checkpoints_added_up: Int
        var problems: [Finding]
        var notes: [Finding]
    }

    @Test func damageOfEachClassIsNamed() async throws {
        try await Self.withStore { store, t4 in
            let table = try #require(SmallDatabase.objects.keys.first { $0.hasPrefix("sst/2925") })
            let names = [
                "database", "manifest/latest", SmallDatabase.checkpoints[1], table, "wal/00000000000000000004",
            ]
            for name in names {
                let body = try #require(SmallDatabase.objects[name])
                var wrong = body
                wrong[body.count / 2] ^= 1
                try store.put("db/\(name)", wrong)
                let text = try await t4(["verify"])
                #expect(text.status == .code(1))
                #expect(text.output.contains("\nDAMAGED: \(name): "), "\(text)")
                #expect(text.output.contains("--checkpoint-anew") == (name == table))
                #expect(text.output.hasSuffix("\n\nFound 1 problem(s)\n"), "\(text)")
                let json = try await t4(["verify", "--deep", "--latest-only", "--json"])
                #expect(json.status == .code(1))
                let report = try JSONDecoder().decode(Report.self, from: Data(json.output.utf8))
                #expect(!report.clean && report.problems.map(\.object) == [name])
                #expect(report.last_index == 9 && report.checkpoints_added_up == (name == table ? 0 : 1))
                try store.put("db/\(name)", body)
            }
            let clean = try await t4(["verify", "--json"])
            #expect(clean.status == .code(0))
        }
    }

    @Test func anEmptyPlaceIsNoDatabase() async throws {
        try await withTemporaryDirectory { folder in
            let store = try StoreFolder(folder.appending(path: "store"))
            let place = ["--store-type", "filesystem", "--store-filesystem-path", store.url.path]
            let verify = try await Self.t4(["verify"] + place)
            #expect(verify.status == .code(1) && verify.output.contains("DAMAGED: database: missing"), "\(verify)")
            let inspect = try await Self.t4(["inspect", "meta", "--checkpoint", "latest"] + place)
            #expect(inspect.status == .code(1))
            #expect(inspect.errors == "t4: there is no database at file://\(store.url.path)/\n")
            let status = try await Self.t4(["status"] + place)
            #expect(status.status == .code(1) && status.output == "", "\(status)")
            #expect(status.errors.contains("there is no database in this place"), "\(status)")
        }
    }

    // MARK: - Status

    @Test func statusSaysWhatIsThere() async throws {
        try await Self.withStore { store, t4 in
            let counted = SmallDatabase.objects.filter { $0.key.contains("/") && !$0.key.hasPrefix("manifest/") }
            let size = counted.values.reduce(0) { $0 + $1.count }
            let ended = try await t4(["status"])
            #expect(
                ended.output == """
                    Store status file://\(store.url.path)/db/

                    Latest checkpoint
                      key: \(SmallDatabase.checkpoints[2])
                      revision: 8
                      term: 1

                    Storage objects
                      checkpoints: 3
                      WAL segments: 9
                      SSTs: 3
                      bytes: \(size)

                    Branch forks
                      (none)

                    """, "\(ended)")
            #expect(ended.status == .code(0) && ended.errors == "")
            let json = try await t4(["status", "--json"])
            let fields = try #require(JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
            #expect((fields["latest_checkpoint"] as? [String: Any])?["revision"] as? Int == 8)
            #expect((fields["wal_segments"] as? [String: Any])?["objects"] as? Int == 9)
            #expect(fields["store"] as? String == "file://\(store.url.path)/db/")
        }
    }
}
