import Foundation
import RPC
import T4Conformance
import Testing

/// Goal: an import needs little memory whatever the size. Method: a million keys with history in a real etcd.
@Suite(
    .enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"),
    .enabled(if: TestEnvironment.isSlowAllowed, "takes minutes: T4_TEST_SLOW=1 runs it"))
struct LargeImportTests {
    private static let count = 1_000_000
    private static let value = [UInt8](repeating: 7, count: 200)

    @Test func aMillionKeys() async throws {
        try await EtcdMove.with { move in
            let etcd = try await ServerUnderTest.start(
                .etcd, dataDirectory: move.path("etcd"),
                options: ["--max-txn-ops", "1000", "--quota-backend-bytes", "\(8 << 30)", "--unsafe-no-fsync"])
            let there = try await DatabaseView.connect(to: etcd)
            try await Self.fill(there, Self.count)
            // One in five is written again, one in ten of these goes.
            try await Self.fill(there, Self.count / 5)
            try await there.delete(Self.key(0), to: Self.key(Self.count / 50))
            let revision = try await there.all(limit: 1).revision
            let file = move.path("etcd.db")
            try await SnapshotTools.save(etcd, to: file)

            let clock = ContinuousClock()
            let start = clock.now
            let process = try move.launch(
                ["import", "etcd-snapshot", file.path, "--data-dir", move.path("t4").path, "--json"])
            var peak = 0
            while !process.output.value.ended {
                guard FileManager.default.fileExists(atPath: "/proc/\(process.pid)/status") else { break }
                do { peak = max(peak, try ServerMemory(of: process).peak) } catch is ProcessFailure { break }
                await Task.yield()
            }
            #expect(try await process.wait() == .code(0), "\(process.errors.value)")
            let said = process.output.value.description
            let size = try FileManager.default.attributesOfItem(atPath: file.path)[.size] as? Int ?? 0
            print("import of \(size >> 20) MiB: \(clock.now - start), peak \(peak >> 20) MiB; \(said)")
            #expect(said.contains("\"keys\" : \(Self.count - Self.count / 50)"), "\(said)")
            #expect(peak > 0 && peak < 400 << 20, "\(peak >> 20) MiB")

            let t4 = try await move.run("t4")
            let here = try await DatabaseView.connect(to: t4)
            try await Self.compare(there, here, revision)
            let back = move.path("t4.db")
            try await SnapshotTools.save(t4, to: back)
            let (before, after) = (try await SnapshotTools.status(file), try await SnapshotTools.status(back))
            #expect(before.revision == after.revision)
            await here.rpc.close()
            await t4.crash()
            // The way back: an etcd that serves what t4 has written.
            let restored = try await SnapshotTools.restore(back, to: move.path("restored"))
            let again = try await DatabaseView.connect(to: restored)
            try await Self.compare(there, again, revision)
            for view in [there, again] { await view.rpc.close() }
            for server in [etcd, restored] { await server.crash() }
        }
    }

    /// Every key of today, and some of the past.
    private static func compare(_ left: DatabaseView, _ right: DatabaseView, _ revision: Int64) async throws {
        for moment in [2, revision / 2, revision - 1, revision] {
            let step = count / 200
            for place in stride(from: 0, to: count, by: moment == revision ? step : 10 * step) {
                let range = (key(place), key(place + step))
                async let wanted = left.all(at: moment, in: range)
                async let got = right.all(at: moment, in: range)
                let (one, other) = (try await wanted, try await got)
                let isEqual = one.kvs == other.kvs && one.revision == other.revision
                #expect(isEqual, "at revision \(moment): \(one.kvs.count) and \(other.kvs.count) keys")
            }
        }
    }

    private static func key(_ number: Int) -> [UInt8] {
        let digits = String(number)
        return Array("/registry/things/\(String(repeating: "0", count: 8 - digits.count))\(digits)".utf8)
    }

    private static func fill(_ view: DatabaseView, _ count: Int) async throws {
        for start in stride(from: 0, to: count, by: 1000) {
            try await view.txn(puts: (start..<start + 1000).map { (key($0), value) })
        }
    }
}
