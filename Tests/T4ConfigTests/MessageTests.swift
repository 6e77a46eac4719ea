// Goal: each mistake is named with its place, its key, the reason and, where there is one, the way out.
import Foundation
import Testing

@testable import T4Config

@Suite struct MessageTests {
    struct Mistake: Sendable, CustomTestStringConvertible {
        var toml: String?
        var environment: [String: String] = [:]
        var flags: [String: String] = [:]
        var message: String
        var testDescription: String { message }

        init(_ toml: String?, _ message: String) {
            self.toml = toml
            self.message = message
        }
        init(environment: [String: String] = [:], flags: [String: String] = [:], _ message: String) {
            self.environment = environment
            self.flags = flags
            self.message = message
        }
    }

    static let names = [
        Mistake("[node]\n\ndata_dri = \"x\"", "t4.toml:3:1: node.data_dri: unknown key; did you mean \"data_dir\"?"),
        Mistake("[nod]\nid = \"x\"", "t4.toml:1:2: nod: unknown table; did you mean [node]?"),
        Mistake(
            "[cache]",
            "t4.toml:1:2: cache: unknown table; known: auth, branch, checkpoint, client_tls, commit, compaction, election, "
                + "engine, lease, log, node, peer, peer_tls, replica, restore, server, store, wal, watch"),
        Mistake(
            "listen = \"x\"", "t4.toml:1:1: listen: unknown key outside of any table; it belongs below [node] or [peer]"
        ),
        Mistake("fast = true", "t4.toml:1:1: fast: unknown key outside of any table"),
        Mistake("[node]\nlevel = \"info\"", "t4.toml:2:1: node.level: unknown key; it belongs below [log]"),
        Mistake(
            "[log]\ncolour = 1",
            "t4.toml:2:1: log.colour: unknown key; known in [log]: level, format, slow_request"),
        Mistake(
            "[node]\n\"data dir\" = 1", "t4.toml:2:1: node.\"data dir\": unknown key; did you mean \"data_dir\"?"),
        Mistake("node.lsiten = \"x\"", "t4.toml:1:1: node.lsiten: unknown key; did you mean \"listen\"?"),
        Mistake("node = { lsiten = 1 }", "t4.toml:1:10: node.lsiten: unknown key; did you mean \"listen\"?"),
        Mistake("node = 1", "t4.toml:1:1: node: expected a table, found 1; write [node]"),
        Mistake("[[node]]\nid = \"x\"", "t4.toml:1:3: node: expected a table, found an array; write [node]"),
        Mistake(
            "[engine]\ntpye = \"lmdb\"", "t4.toml:2:1: engine.tpye: unknown key; did you mean \"type\"?"),
        Mistake("[engine]\nlmdb = 1", "t4.toml:2:1: engine.lmdb: unknown key; known in [engine]: type"),
        Mistake(flags: ["data-dri": "x"], "--data-dri: unknown flag; did you mean --data-dir?"),
        Mistake(flags: ["fast": ""], "--fast: unknown flag"),
        Mistake(
            flags: ["advertise-peer": "b:1"],
            "--advertise-peer: peer.advertise: is of no use to a node that is alone; make it one of a cluster with "
                + "--peer-listen"),
        Mistake(flags: ["store-s3-region": "r"], "--store-s3-region: unknown flag; did you mean --s3-region?"),
        Mistake(
            environment: ["T4_STORE_S3_BUCKET": "b"],
            "T4_STORE_S3_BUCKET: unknown variable; did you mean T4_S3_BUCKET?"),
        Mistake(
            flags: ["read-consistency": "eventual"],
            "--read-consistency: a read is linearizable unless the client asks for a serializable one, request by request"
        ),
        Mistake("[tls]", "t4.toml:1:2: tls: TLS for clients is set in the table [client_tls]"),
        Mistake(
            environment: ["T4_PEER_TLS_CERT": "b"],
            "T4_PEER_TLS_CERT: peer_tls.cert: is of no use to a node that is alone; make it one of a cluster with "
                + "--peer-listen"),
    ]

    static let values = [
        Mistake("[node]\nid = 1", "t4.toml:2:1: node.id: expected a text in quotes, found 1"),
        Mistake("[node]\nid = \"\"", "t4.toml:2:1: node.id: expected 1 to 128 characters, found 0"),
        Mistake("[node]\nid = \"a b\"", "t4.toml:2:1: node.id: \"a b\" holds a space or a control character"),
        Mistake("[node]\ndata_dir = \"\"", "t4.toml:2:1: node.data_dir: it is empty"),
        Mistake(
            "[node]\nlisten = 3379",
            "t4.toml:2:1: node.listen: expected an address such as \"0.0.0.0:3379\", found 3379"),
        Mistake(
            "[node]\nlisten = \"::1:80\"",
            "t4.toml:2:1: node.listen: expected an address such as \"0.0.0.0:3379\", found \"::1:80\"; "
                + "write HOST:PORT, with brackets around an IPv6 address"),
        Mistake(
            flags: ["listen": "http://localhost:2379"],
            "--listen: node.listen: expected an address such as \"0.0.0.0:3379\", found \"http://localhost:2379\"; "
                + "leave out the scheme"),
        Mistake(
            "[log]\nlevel = \"inof\"",
            "t4.toml:2:1: log.level: expected one of \"trace\", \"debug\", \"info\", \"notice\", \"warning\", \"error\", "
                + "\"critical\", found \"inof\"; did you mean \"info\"?"),
        Mistake(
            environment: ["T4_LOG_FORMAT": "xml"],
            "T4_LOG_FORMAT: log.format: expected one of \"text\", \"json\", found \"xml\""),
        Mistake(
            "[wal]\nsegment_max_size = \"fifty\"",
            "t4.toml:2:1: wal.segment_max_size: expected a size such as \"50MiB\" or a number of bytes, found \"fifty\""
        ),
        Mistake(
            "[wal]\nsegment_max_size = \"50mb\"",
            "t4.toml:2:1: wal.segment_max_size: expected a size such as \"50MiB\" or a number of bytes, found \"50mb\"; "
                + "units are B, KiB, MiB, GiB, TiB, KB, MB, GB, TB"),
        Mistake(
            "[wal]\nsegment_max_size = -1",
            "t4.toml:2:1: wal.segment_max_size: expected a size such as \"50MiB\" or a number of bytes, found -1"),
        Mistake(
            "[wal]\nsegment_max_size = 50",
            "t4.toml:2:1: wal.segment_max_size: \"50B\" is out of range; \"1MiB\" ... \"4GiB\""),
        Mistake(
            "[wal]\nsegment_max_age = 10",
            "t4.toml:2:1: wal.segment_max_age: expected a duration such as \"10s\", \"15m\" or \"1h30m\", found 10; "
                + "write the unit: \"10s\""),
        Mistake(
            flags: ["watch-progress-notify-interval": "10"],
            "--watch-progress-notify-interval: watch.progress_interval: expected a duration such as \"10s\", \"15m\" or "
                + "\"1h30m\", found \"10\"; write the unit: \"10s\""),
        Mistake(
            "[wal]\ndurability = \"none\"",
            "t4.toml:2:1: wal.durability: expected \"local\", \"object-store\" or \"replicated\", found \"none\""),
        Mistake(
            "[server]\nmax_txn_operations = 0",
            "t4.toml:2:1: server.max_txn_operations: 0 is out of range; 1 ... 1000000"),
        Mistake(
            "[server]\nmax_txn_operations = 1.5",
            "t4.toml:2:1: server.max_txn_operations: expected a whole number, found 1.5"),
        Mistake(
            environment: ["T4_MAX_TXN_OPS": "many"],
            "T4_MAX_TXN_OPS: server.max_txn_operations: expected a whole number, found \"many\""),
        Mistake(
            "[server]\nkeepalive_permit_without_stream = \"yes\"",
            "t4.toml:2:1: server.keepalive_permit_without_stream: expected true or false, found \"yes\""),
        Mistake(
            "[lease]\nmin_ttl = \"1500ms\"",
            "t4.toml:2:1: lease.min_ttl: \"1s500ms\" is not a whole number of seconds"),
        Mistake(
            "[server]\nthreads = 2025-01-01",
            "t4.toml:2:1: server.threads: expected a whole number, found the date 2025-01-01"),
        Mistake("[server]\nthreads = []", "t4.toml:2:1: server.threads: expected a whole number, found an array"),
    ]

    static let combinations = [
        Mistake(
            "[server]\nkeepalive_interval = \"10s\"",
            "t4.toml:2:1: server.keepalive_timeout: \"20s\" must be shorter than server.keepalive_interval, \"10s\""),
        Mistake(
            flags: ["commit-queue-max-bytes": "1MiB", "segment-max-size-mb": "1"],
            """
            --commit-queue-max-bytes: commit.queue_max_bytes: "1MiB" must not be smaller than \
            server.max_request_bytes, "1536KiB"
            --segment-max-size-mb: wal.segment_max_size: "1MiB" must not be smaller than server.max_request_bytes, \
            "1536KiB"
            """),
        Mistake(
            flags: ["max-request-bytes": "32MiB", "segment-max-size-mb": "16"],
            "--segment-max-size-mb: wal.segment_max_size: \"16MiB\" must not be smaller than server.max_request_bytes, "
                + "\"32MiB\""),
        Mistake(
            environment: ["T4_MAX_REQUEST_BYTES": "33MiB"],
            "T4_MAX_REQUEST_BYTES: server.max_request_bytes: \"33MiB\" is out of range; \"1KiB\" ... \"32MiB\""),
    ]

    @Test(arguments: names + values + combinations)
    func isNamed(_ mistake: Mistake) throws {
        let found = try messages(mistake.toml, environment: mistake.environment, flags: mistake.flags)
        #expect(found == mistake.message)
    }

    @Test func reportsEverythingAtOnce() throws {
        let toml = "[node]\nid = 1\nlisten = 2\n[cash]\n"
        let found = try messages(toml, environment: ["T4_THREADS": "x"], flags: ["fast": ""])
        #expect(found.split(separator: "\n").count == 5)
    }

    /// The parser words these; the place is what we promise.
    @Test(arguments: [
        ("[node\n", "t4.toml:1:"), ("[node]\nid = \"a\nlisten = 1", "t4.toml:2:"), ("[node]\nid = ", "t4.toml:2:"),
        ("[node]\nid = \"a\"\nid = \"b\"", "t4.toml:3:"), ("[node]\n[node]", "t4.toml:2:"),
        ("a = 1\u{1}", "t4.toml:1:"),
    ])
    func placesSyntaxErrors(_ toml: String, _ place: String) throws {
        let found = try messages(toml)
        #expect(found.hasPrefix(place), "\(found)")
        #expect(found.split(separator: "\n").count == 1)
    }

    @Test func refusesWhatCannotBeRead() throws {
        #expect(try messages("[node]\nid = \"a\0b\"") == "t4.toml:2:8: the file holds a NUL character")
        try inTemporaryFolder { folder in
            let absent = folder.appending(path: "absent.toml").path
            let error = #expect(throws: ConfigurationError.self) {
                try Configuration.load(file: absent, environment: [:])
            }
            #expect(error?.description == "\(absent): there is no such file")
            let binary = folder.appending(path: "binary.toml")
            try Data([0xFF, 0xFE, 0x41]).write(to: binary)
            let other = #expect(throws: ConfigurationError.self) {
                try Configuration.load(file: binary.path, environment: [:])
            }
            #expect(other?.description == "\(binary.path):1:1: the file is UTF-16 text; save it as UTF-8")
            #expect(throws: ConfigurationError.self) { try Configuration.load(file: folder.path, environment: [:]) }
        }
    }

    @Test func namesTheEnginesThatThereAre() throws {
        let registry = toyRegistry
        #expect(
            try messages("[engine]\ntype = \"tpae\"", registry: registry)
                == "t4.toml:2:1: engine.type: no engine named \"tpae\" in this build; did you mean \"tape\"? "
                + "known: drum, tape")
        #expect(
            try messages("[engine]\ntype = \"drum\"\n[engine.rocksdb]", registry: registry)
                == "t4.toml:3:2: engine.rocksdb: no engine named \"rocksdb\" in this build; known: drum, tape")
        #expect(
            try messages("[engine]\ntype = \"drum\"\ntape = 1", registry: registry)
                == "t4.toml:3:1: engine.tape: expected a table, found 1; write [engine.tape]")
        #expect(try messages("[engine]\ntype = \"drum\"\n[engine.drum]", registry: registry) == "")
    }
}
