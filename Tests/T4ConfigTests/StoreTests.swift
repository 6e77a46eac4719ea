// Goal: a store is chosen and set up in the file, by flags and by variables, those of T4 too; nobody who sets one up can
// end up without it.
import Foundation
import T4BuiltIns
import T4Core
import T4Protocols
import Testing

@testable import T4Config

@Suite struct StoreTests {
    @Test func withoutSettingsTheStoreLiesInTheDataDirectory() throws {
        let configuration = try load(flags: ["data-dir": "/d/"], registry: .builtIn)
        #expect(configuration.store.type == "filesystem" && configuration.store.prefix == "")
        #expect(configuration.storePlace == .inside && configuration.wal.durability == .local)
        #expect(configuration.storeName == "file:///d/store/" && configuration.storeFolder == "/d/store")
        #expect(configuration.checkpoint == Configuration.Checkpoint() && configuration.restore.pointTime == nil)
        // By hand it is the same.
        #expect(Configuration().storePlace == .inside && Configuration().wal.durability == .local)
    }

    @Test(arguments: [
        ("type = \"none\"", StorePlace.none, Durability.local, "none"),
        ("type = \"memory\"", .inside, .local, "memory:"),
        ("type = \"filesystem\"\nprefix = \"a/b\"", .inside, .local, "file:///var/lib/t4/store/a/b/"),
        (
            "type = \"filesystem\"\n[store.filesystem]\npath = \"/var/lib/x/../t4/store/\"", .inside, .local,
            "file:///var/lib/t4/store/"
        ),
        (
            "type = \"filesystem\"\n[store.filesystem]\npath = \"/mnt/t4\"", .outside, .objectStore,
            "file:///mnt/t4/"
        ),
        ("type = \"s3\"\nprefix = \"t4\"\n[store.s3]\nbucket = \"b\"", .outside, .objectStore, "s3://b/t4/"),
        ("type = \"tape\"\nprefix = \"t4/\"", .outside, .objectStore, "tape:t4/"),
    ])
    func durabilityFollowsFromThePlace(_ lines: String, _ place: StorePlace, _ durability: Durability, _ name: String)
        throws
    {
        let configuration = try load("[store]\n\(lines)\n")
        #expect(configuration.storePlace == place && configuration.wal.durability == durability)
        #expect(configuration.storeName == name)
        #expect(configuration.origins["wal.durability"] == nil)
        // What is said counts.
        for (flag, wanted) in [("local", Durability.local), ("object-store", .objectStore)]
        where place != .none || wanted == .local {
            #expect(try load("[store]\n\(lines)\n", flags: ["wal-durability": flag]).wal.durability == wanted)
        }
    }

    @Test func aSettingIsReadByTheStoreItself() throws {
        struct Seen: Error, Equatable { var settings: TapeSettings }
        var registry = BackendRegistry()
        registry.register(store: "tape", settings: TapeSettings.self) { settings, _ in throw Seen(settings: settings) }
        registry.register(store: "shelf", settings: DrumSettings.self) { settings, _ in
            throw Seen(settings: .init(path: ""))
        }
        let toml = "[store]\ntype = \"tape\"\n[store.tape]\npath = \"/file\"\ntracks = 1\nratio = 1.5\n"
        let source = try load(
            toml, environment: ["T4_STORE_TAPE_TRACKS": "2", "T4_STORE_TAPE_PATH": "/v"],
            flags: ["store-tape-path": "/flag"])
        let wanted = TapeSettings(path: "/flag", isFast: nil, tracks: 2, ratio: 1.5, password: nil, heads: nil)
        #expect(try source.store.settings.decode(TapeSettings.self) == wanted)
        registry.register(engine: "lmdb", settings: DrumSettings.self) { _, _ in throw Seen(settings: wanted) }
        #expect(
            try messages(toml + "tarcks = 1\n", registry: registry)
                == "t4.toml:7:1: store.tape.tarcks: unknown key; did you mean \"tracks\"?")
        #expect(
            try messages(flags: ["store-type": "tpae"], registry: registry)
                == "--store-type: store.type: no store named \"tpae\" in this build; did you mean \"tape\"? "
                + "known: none, shelf, tape")
        #expect(
            try messages(flags: ["s3-bucket": "b"], registry: registry)
                == "--s3-bucket: store.type: no store named \"s3\" in this build; known: none, shelf, tape")
        #expect(try messages(flags: ["store-type": "none"], registry: registry) == "")
        // Whoever registers no filesystem store has none by default.
        #expect(try load(registry: registry).storePlace == .none)
    }

    // MARK: - T4's flags

    @Test func aBucketChoosesS3() throws {
        let flags = [
            "s3-bucket": "b", "s3-prefix": "t4", "s3-endpoint": "http://minio:9000", "s3-region": "r",
            "s3-profile": "p",
            "s3-access-key-id": "a", "s3-secret-access-key": "hunter2",
        ]
        let variables = Dictionary(
            uniqueKeysWithValues: flags.map { (SettingDefinition.variable(ofFlag: $0.key), $0.value) })
        for configuration in [try load(flags: flags), try load(environment: variables)] {
            #expect(configuration.store.type == "s3" && configuration.storeName == "s3://b/t4/")
            #expect(configuration.wal.durability == .objectStore)
            #expect(
                try configuration.store.settings.decode([String: String].self) == [
                    "bucket": "b", "endpoint": "http://minio:9000", "region": "r", "profile": "p", "access_key_id": "a",
                    "secret_access_key": "hunter2",
                ])
            #expect(!configuration.describe().contains("hunter2"))
        }
        #expect(try load(flags: flags).origins["store.type"] == .flag("s3-bucket"))
        // The flag comes before the variable, and both before the file.
        let file = "[store]\ntype = \"s3\"\n[store.s3]\nbucket = \"file\"\n"
        #expect(try load(file).storeName == "s3://file/")
        #expect(try load(file, environment: variables).storeName == "s3://b/t4/")
        #expect(try load(file, environment: variables, flags: ["s3-bucket": "flag"]).storeName == "s3://flag/t4/")
        #expect(try load(flags: ["s3-bucket": "b", "store-type": "s3"]).store.type == "s3")
    }

    @Test func anotherTypeBesideABucketIsAnError() throws {
        func message(_ bucket: String, _ type: String, _ origin: String) -> String {
            "\(bucket): store.s3.bucket: a bucket is for a store of type \"s3\", but store.type is \"\(type)\" "
                + "(\(origin)); leave out one of the two"
        }
        #expect(
            try messages(flags: ["s3-bucket": "b", "store-type": "filesystem"])
                == message("--s3-bucket", "filesystem", "--store-type"))
        #expect(
            try messages(environment: ["T4_S3_BUCKET": "b"], flags: ["store-type": "none"])
                == message("T4_S3_BUCKET", "none", "--store-type"))
        let found = try messages("[store]\ntype = \"memory\"\n", environment: ["T4_S3_BUCKET": "b"])
        #expect(found == message("T4_S3_BUCKET", "memory", "t4.toml:2:1"))
    }

    @Test func settingsOfS3WithoutABucketAreAnError() throws {
        let unused =
            "it is set up, but store.type is not set; write type = \"s3\" below [store], or name the bucket with "
        #expect(try messages(flags: ["s3-region": "r"]) == "--s3-region: store.s3: \(unused)--s3-bucket")
        #expect(
            try messages(environment: ["T4_S3_ENDPOINT": "http://a"])
                == "T4_S3_ENDPOINT: store.s3: \(unused)--s3-bucket")
        #expect(
            try messages(flags: ["s3-prefix": "t4/"])
                == "--s3-prefix: store.prefix: a prefix in a bucket, but store.type is \"filesystem\"; name the bucket "
                + "with --s3-bucket, or write --store-prefix for any store")
        #expect(try load(flags: ["store-prefix": "t4"]).store.prefix == "t4/")
    }

    @Test func twoNamesOfASettingMustAgree() throws {
        #expect(
            try messages(flags: ["wal-sync-upload": "true", "wal-durability": "local"])
                == "--wal-sync-upload: wal.durability: \"object-store\" contradicts --wal-durability, \"local\"")
        #expect(
            try messages(environment: ["T4_WAL_SYNC_UPLOAD": "false", "T4_WAL_DURABILITY": "object-store"])
                == "T4_WAL_SYNC_UPLOAD: wal.durability: \"local\" contradicts T4_WAL_DURABILITY, \"object-store\"")
        #expect(
            try messages(flags: ["s3-bucket": "b", "s3-prefix": "a/", "store-prefix": "b/"])
                == "--s3-prefix: store.prefix: \"a/\" contradicts --store-prefix, \"b/\"")
        #expect(
            try messages(flags: ["wal-sync-upload": "maybe", "wal-durability": "local"])
                == "--wal-sync-upload: wal.durability: expected true or false, found \"maybe\"")
        #expect(
            try messages(flags: ["wal-sync-upload": "true", "wal-durability": "lokal"])
                == "--wal-durability: wal.durability: expected \"local\", \"object-store\" or \"replicated\", found \"lokal\"; "
                + "did you mean \"local\"?")
        #expect(try load(flags: ["wal-sync-upload": "false", "wal-durability": "local"]).wal.durability == .local)
        // A flag comes before a variable whatever their names are.
        let environment = ["T4_WAL_SYNC_UPLOAD": "true"]
        #expect(try load(environment: environment).wal.durability == .objectStore)
        #expect(try load(environment: environment, flags: ["wal-durability": "local"]).wal.durability == .local)
        #expect(
            try load(environment: ["T4_WAL_DURABILITY": "local"], flags: ["wal-sync-upload": "true"]).wal.durability
                == .objectStore)
        #expect(
            try load("[wal]\ndurability = \"object-store\"\n", flags: ["wal-sync-upload": "0"]).wal.durability == .local
        )
    }

    @Test func checkpointFlagsCountAsTheyDidForT4() throws {
        let configuration = try load(
            environment: ["T4_CHECKPOINT_ENTRIES": "1000"], flags: ["checkpoint-interval-min": "5"])
        #expect(configuration.checkpoint.interval == .seconds(300) && configuration.checkpoint.entries == 1000)
        #expect(try load(flags: ["checkpoint-interval-min": "0"]).checkpoint.interval == .zero)
        #expect(try load(flags: ["checkpoint-interval-min": "90s"]).checkpoint.interval == .seconds(90))
    }

    @Test func branchesAndMomentsAreRead() throws {
        let name = "checkpoint/0000000001/00000000000000000050/manifest-00000000000000000060.json"
        let branch = try load(flags: [
            "s3-bucket": "b", "branch-prefix": "t4", "branch-checkpoint": name, "s3-prefix": "x",
        ])
        #expect(branch.branch == Configuration.Branch(prefix: "t4/", checkpoint: name))
        // A parent without a prefix has to be named as well.
        let root = try load(flags: ["s3-bucket": "b", "branch-prefix": "", "branch-checkpoint": name, "s3-prefix": "x"])
        #expect(root.branch.prefix == "" && root.branch.checkpoint == name)
        let point = try load(environment: ["T4_RESTORE_POINT_TIME": "2024-06-01T14:00:00.000000001+02:00"])
        #expect(point.restore.pointTime?.nanoseconds == 1_717_243_200_000_000_001)
        #expect(try load().restore.pointTime == nil && load().branch.checkpoint == "")
    }

    /// Whoever names a moment or a checkpoint and leaves it empty by mistake must not get the present, or a new database.
    @Test func whatIsNamedIsNeverEmpty() throws {
        let hint = "it is empty; leave it out where none is meant"
        for (key, flag) in [("restore.point_time", "restore-point-time"), ("branch.checkpoint", "branch-checkpoint")] {
            let variable = SettingDefinition.variable(ofFlag: flag)
            #expect(try messages(environment: [variable: ""]) == "\(variable): \(key): \(hint)")
            #expect(try messages(flags: [flag: ""]) == "--\(flag): \(key): \(hint)")
            let parts = key.split(separator: ".")
            #expect(
                try messages("[\(parts[0])]\n\(parts[1]) = \"\"\n") == "t4.toml:2:1: \(key): \(hint)")
        }
    }

    @Test(.enabled(if: BackendRegistry.builtIn.storeNames.contains("s3")))
    func theMomentOfABucketIsNeverEmpty() throws {
        let hint = "it is empty; leave it out where the present is meant, or write a time such as 2024-06-01T12:00:00Z"
        let s3 = ["s3-bucket": "b"]
        #expect(
            try messages(flags: s3.merging(["s3-as-of": ""]) { $1 }, registry: .builtIn)
                == "--s3-as-of: store.s3.as_of: \(hint)")
        #expect(
            try messages(environment: ["T4_S3_AS_OF": ""], flags: s3, registry: .builtIn)
                == "T4_S3_AS_OF: store.s3.as_of: \(hint)")
        #expect(
            try messages("[store.s3]\nas_of = \"\"\n", flags: s3, registry: .builtIn)
                == "t4.toml:2:1: store.s3.as_of: \(hint)")
        // Other variables that are empty still count as not set.
        #expect(
            try messages(environment: ["T4_S3_REGION": "", "T4_BRANCH_PREFIX": ""], flags: s3, registry: .builtIn) == ""
        )
    }

    @Test func whatThisVersionDoesAnyhowIsTaken() throws {
        let environment = ["T4_READ_CONSISTENCY": "linearizable", "T4_AUTH_TOKEN": "simple"]
        #expect(try load(environment: environment).warnings.isEmpty)
        #expect(
            try load(flags: ["read-consistency": "serializable"]).warnings == [
                "--read-consistency serializable: a read is linearizable unless the client asks for a serializable one, "
                    + "request by request"
            ])
    }

    @Test(.enabled(if: BackendRegistry.builtIn.storeNames.contains("s3")))
    func noMessageShowsTheSecret() throws {
        let flags = ["s3-bucket": "b", "s3-access-key-id": "a", "s3-secret-access-key": "hunter2-hunter2"]
        for (flag, value) in [
            ("s3-profile", "p"), ("s3-secret-access-key-file", "f"), ("s3-foo", "hunter2-hunter2"),
            ("s3-endpoint", "http://hunter2-hunter2/x"), ("s3-max-connections", "hunter2-hunter2"),
        ] {
            let found = try messages(flags: flags.merging([flag: value]) { $1 }, registry: .builtIn)
            #expect(!found.isEmpty && !found.contains("hunter2"), "\(found)")
        }
        #expect(try messages(flags: flags, registry: .builtIn) == "")
    }

    /// What `t4 branch fork` prints for a revision or a time has the entry behind the checkpoint's name.
    @Test(arguments: [("manifest.json", true), ("manifest.json@12", true), ("manifest.json@x", false)])
    func aBranchBeginsAtACheckpointOrBehindIt(_ name: String, _ isTaken: Bool) {
        let checkpoint = "checkpoint/0000000001/00000000000000000050/" + name
        let flags = [
            "store-type": "filesystem", "store-prefix": "b/", "branch-prefix": "t4/", "branch-checkpoint": checkpoint,
        ]
        let configuration = try? Configuration.load(file: nil, environment: [:], flags: flags)
        #expect(configuration?.branch.checkpoint == (isTaken ? checkpoint : nil))
    }
}
