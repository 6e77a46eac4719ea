// Goal: flag before environment before file before default, for every setting.
// Method: three values of each setting, other than the default, given in every order of sources; read back by its text.
import Testing

@testable import T4Config

@Suite struct PrecedenceTests {
    /// Valid values other than the default, as flags have them.
    static let samples: [String: [String]] = [
        "node.id": ["a", "b", "c"],
        "node.data_dir": ["/a", "./b", "c"],
        "node.listen": ["127.0.0.1:1", "[::1]:2", "localhost:0"],
        "log.level": ["debug", "trace", "error"],
        "log.format": ["json", "text", "json"],
        "log.slow_request": ["0s", "1m", "250ms"],
        "engine.type": ["memory", "tape", "other"],
        "store.type": ["memory", "none", "tape"],
        "store.prefix": ["a/", "b/", "c/"],
        "wal.durability": ["object-store", "local", "object-store"],
        "wal.segment_max_size": ["64MiB", "70MiB", "80MiB"],
        "wal.segment_max_age": ["1m", "2m", "3m"],
        "wal.uploads_in_flight": ["1", "2", "3"],
        "checkpoint.interval": ["1m", "0s", "3m"],
        "checkpoint.entries": ["1", "2", "3"],
        "checkpoint.keep": ["1", "2", "4"],
        "checkpoint.retain": ["1h", "0s", "3h"],
        "checkpoint.collect": ["false", "true", "false"],
        "checkpoint.anew": ["true", "false", "true"],
        "branch.prefix": ["a/", "b/", "c/"],
        "branch.checkpoint": (1...3).map { "checkpoint/0000000001/0000000000000000000\($0)/manifest.json" },
        "restore.point_time": ["2024-06-01T12:00:00Z", "2024-06-01T12:00:00.1Z", "1970-01-01T00:00:00Z"],
        "server.max_request_bytes": ["1MiB", "2MiB", "3MiB"],
        "server.max_txn_operations": ["1", "2", "3"],
        "server.max_concurrent_streams": ["1", "2", "3"],
        "server.max_open_streams": ["1", "2", "3"],
        "server.max_connections": ["1", "2", "3"],
        "server.max_header_bytes": ["4KiB", "5KiB", "6KiB"],
        "server.max_unread_bytes": ["1MiB", "2MiB", "3MiB"],
        "server.max_incomplete_bytes": ["1MiB", "2MiB", "3MiB"],
        "server.max_buffered_bytes": ["8MiB", "9MiB", "10MiB"],
        "server.max_resets_per_second": ["1", "2", "3"],
        "server.max_control_frames_per_second": ["1", "2", "3"],
        "server.handshake_timeout": ["1s", "2s", "3s"],
        "server.request_timeout": ["1s", "2s", "3s"],
        "server.threads": ["1", "2", "3"],
        "server.keepalive_min_time": ["1s", "0s", "3s"],
        "server.keepalive_interval": ["1h", "3h", "4h"],
        "server.keepalive_timeout": ["1s", "2s", "3s"],
        "server.keepalive_permit_without_stream": ["false", "true", "false"],
        "client_tls.cert": ["/a.crt", "b.crt", "c"],
        "client_tls.key": ["/a.key", "b.key", "c"],
        "client_tls.ca": ["/a.ca", "b.ca", "c"],
        "peer.listen": ["10.0.0.1:1", "[fd00::1]:2", "a:3"],
        "peer.advertise": ["10.0.0.1:1", "b:2", "c:3"],
        "peer.in_sync_min": ["2", "3", "4"],
        "peer.read_only": ["true", "false", "true"],
        "replica.enabled": ["true", "false", "true"],
        "replica.interval": ["20ms", "1m", "1h"],
        "peer_tls.cert": ["/a.crt", "b.crt", "c"],
        "peer_tls.key": ["/a.key", "b.key", "c"],
        "peer_tls.ca": ["/a.ca", "b.ca", "c"],
        "election.type": ["file-lock", "memory", "other"],
        "election.timeout": ["1s", "2s", "200ms"],
        "election.leadership_ttl": ["10s", "20s", "3s"],
        "watch.progress_interval": ["1s", "2s", "3s"],
        "watch.max_watches": ["1", "2", "3"],
        "lease.min_ttl": ["1s", "3s", "4s"],
        "server.quota_backend_bytes": ["1GiB", "0", "3GiB"],
        "server.corrupt_check_interval": ["1h", "0s", "3h"],
        "compaction.mode": ["revision", "periodic", "revision"],
        "compaction.retention": ["1", "0", "3"],
        "auth.enabled": ["false", "true", "false"],
        "auth.tokens": [
            "jwt,sign-method=HS256,priv-key=a,ttl=1m", "simple",
            "jwt,sign-method=RS256,pub-key=b,priv-key=c,ttl=5m",
        ],
        "auth.token_ttl": ["1m", "2m", "3m"],
        "auth.bcrypt_cost": ["4", "5", "6"],
        "commit.queue_max_requests": ["1", "2", "3"],
        "commit.queue_max_bytes": ["64MiB", "65MiB", "66MiB"],
    ]

    @Test(arguments: SettingDefinition.all)
    func flagThenEnvironmentThenFileThenDefault(_ setting: SettingDefinition) throws {
        let values = try #require(Self.samples[setting.key], "give samples of \(setting.key)")
        // What counts only together with another one.
        let others = [
            "branch.prefix": ["branch.checkpoint"], "branch.checkpoint": ["branch.prefix"],
            "client_tls.cert": ["client_tls.key"], "client_tls.key": ["client_tls.cert"],
            "client_tls.ca": ["client_tls.cert", "client_tls.key"],
            "peer.listen": ["store.type"], "peer.advertise": ["peer.listen", "store.type"],
            "replica.interval": ["replica.enabled"],
            "peer.in_sync_min": ["peer.listen", "store.type"], "peer.read_only": ["peer.listen", "store.type"],
            "peer_tls.cert": ["peer.listen", "store.type", "peer_tls.key", "peer_tls.ca"],
            "peer_tls.key": ["peer.listen", "store.type", "peer_tls.cert", "peer_tls.ca"],
            "peer_tls.ca": ["peer.listen", "store.type", "peer_tls.cert", "peer_tls.key"],
        ][setting.key, default: []]
        let companion = Dictionary(
            uniqueKeysWithValues: SettingDefinition.all.filter { others.contains($0.key) }
                .map { ($0.flag, Self.samples[$0.key]?[$0.key == "store.type" ? 2 : 0] ?? "") })
        let bare = setting.placeholder == "NUMBER" || setting.isSwitch
        let file = "[\(setting.path[0])]\n\(setting.path[1]) = \(bare ? values[0] : quoted(values[0]))\n"
        let environment = [setting.environment: values[1]]
        let flags = companion.merging([setting.flag: values[2]]) { $1 }

        func value(_ configuration: Configuration) -> String {
            setting.writeTOML(configuration).filter { $0 != "\"" }
        }
        func origin(_ configuration: Configuration) -> String? {
            configuration.origins[setting.key].map { "\($0)" }
        }

        let byDefault = try load()
        let byMachine = ["node.id": "testhost", "wal.durability": "local"]
        #expect(
            value(byDefault) == byMachine[setting.key]
                ?? (["empty", "none"].contains(setting.defaultText) ? "" : setting.defaultText))
        #expect(origin(byDefault) == nil)

        let fromFile = try load(file, flags: companion)
        #expect(value(fromFile) == values[0])
        #expect(origin(fromFile)?.hasSuffix("t4.toml:2:1") == true)

        let fromEnvironment = try load(file, environment: environment, flags: companion)
        #expect(value(fromEnvironment) == values[1])
        #expect(origin(fromEnvironment) == setting.environment)

        let fromFlag = try load(file, environment: environment, flags: flags)
        #expect(value(fromFlag) == values[2])
        #expect(origin(fromFlag) == "--\(setting.flag)")

        #expect(value(try load(nil, environment: environment, flags: flags)) == values[2])
    }

    @Test func emptyVariableCountsAsNotSet() throws {
        #expect(try load(environment: ["T4_DATA_DIR": ""]).node.dataDirectory == "/var/lib/t4")
    }

    @Test func aBadValueThatIsNotUsedIsNoError() throws {
        #expect(try load("[node]\nlisten = \"?\"\n", flags: ["listen": ":1"]).node.listen.port == 1)
    }

    @Test func plainNumbersOfOldFlagsHaveTheirUnits() throws {
        let configuration = try load(flags: ["segment-max-size-mb": "64", "segment-max-age-sec": "7"])
        #expect(configuration.wal.segmentSizeMax == .mebibytes(64))
        #expect(configuration.wal.segmentAgeMax == .seconds(7))
        let exact = try load(environment: ["T4_SEGMENT_MAX_SIZE_MB": "64MB"])
        #expect(exact.wal.segmentSizeMax.bytes == 64_000_000)
    }

    @Test func namesAreUnique() {
        let all = SettingDefinition.all
        #expect(Set(all.map(\.key)).count == all.count)
        #expect(Set(all.map(\.flag)).count == all.count)
        #expect(all.allSatisfy { $0.path.count == 2 })
    }

    @Test func warnsOfVariablesThatAreNearlySettings() throws {
        let environment = ["T4_DATADIR": "/x", "T4_TEST_SLOW": "1", "PATH": "/bin"]
        #expect(try load(environment: environment).warnings == ["T4_DATADIR is no setting; did you mean T4_DATA_DIR?"])
    }
}
