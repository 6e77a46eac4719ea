import T4Core
import Testing

@testable import T4Config

/// Retention of history and quota are read as etcd reads its flags.
@Suite struct CompactionTests {
    private func retention(_ flags: [String: String]) throws -> CompactionRetention? {
        try load(flags: flags).compaction.nodeRetention
    }

    @Test func nothingIsCompactedWithoutBeingAskedFor() throws {
        #expect(try retention([:]) == nil)
        #expect(try retention(["auto-compaction-mode": "revision"]) == nil)
        #expect(try retention(["auto-compaction-retention": "0"]) == nil)
        #expect(try retention(["auto-compaction-retention": "0s"]) == nil)
        #expect(try retention(["auto-compaction-mode": "revision", "auto-compaction-retention": "0s"]) == nil)
    }

    @Test(arguments: [
        ("5", Duration.seconds(5 * 3600)), ("5m", .seconds(300)), ("1h30m", .seconds(5400)), ("1s", .seconds(1)),
        ("87600", .seconds(87_600 * 3600)),
    ])
    func aPlainNumberIsHours(_ text: String, _ time: Duration) throws {
        #expect(try retention(["auto-compaction-retention": text]) == .time(time))
        #expect(
            try retention(["auto-compaction-mode": "periodic", "auto-compaction-retention": text]) == .time(time))
    }

    @Test func revisionsAreANumber() throws {
        #expect(
            try retention(["auto-compaction-mode": "revision", "auto-compaction-retention": "1000"])
                == .revisions(1000))
        #expect(
            try load("[compaction]\nmode = \"revision\"\nretention = 1000\n").compaction.nodeRetention
                == .revisions(1000))
        #expect(try load("[compaction]\nretention = \"5m\"\n").compaction.nodeRetention == .time(.seconds(300)))
        #expect(try load("[compaction]\nretention = 2\n").compaction.nodeRetention == .time(.seconds(7200)))
        #expect(
            try load(environment: ["T4_AUTO_COMPACTION_RETENTION": "1h"]).compaction.nodeRetention
                == .time(.seconds(3600)))
    }

    @Test(arguments: ["-1", "x", "-5m", "500ms", "87601", "90000h", "1.5"])
    func whatIsNoRetentionIsRefused(_ text: String) throws {
        #expect(try messages(flags: ["auto-compaction-retention": text]).contains("--auto-compaction-retention"))
    }

    @Test func aTimeDoesNotGoWithRevisions() throws {
        let found = try messages(flags: ["auto-compaction-mode": "revision", "auto-compaction-retention": "5m"])
        #expect(found.contains("compaction.retention"))
        #expect(found.contains("is a time, which does not go with compaction.mode, \"revision\""))
    }

    @Test(arguments: [
        ("0", nil as Int?), ("-1", nil), ("-9223372036854775808", nil), ("1", 1), ("8589934592", 8_589_934_592),
        ("8GiB", 8_589_934_592),
    ])
    func aQuotaIsASizeOrNone(_ text: String, _ bytes: Int?) throws {
        #expect(try load(flags: ["quota-backend-bytes": text]).server.quota.bytes == bytes)
        let toml = Int(text) == nil ? "\"\(text)\"" : text
        let loaded = try load("[server]\nquota_backend_bytes = \(toml)\n").server.quota
        #expect(loaded.bytes == bytes)
        #expect(try load("[server]\nquota_backend_bytes = \(loaded.tomlText)\n").server.quota == loaded)
    }

    @Test func whatIsNoSizeIsNoQuota() throws {
        #expect(try messages(flags: ["quota-backend-bytes": "much"]).contains("--quota-backend-bytes"))
        #expect(try load().server.quota == .none)
    }
}
