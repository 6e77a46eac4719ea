import Foundation
import T4Conformance
import Testing

/// Goal: `t4 bench-store` measures every part, finds what must hold of any run, and leaves nothing behind.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct BenchStoreTests {
    private struct Report: Decodable {
        struct Figure: Decodable {
            var part: String
            var name: String
            var value: Double
        }

        var figures: [Figure]

        func value(_ part: String, _ name: String) -> Double? {
            figures.first { $0.part == part && $0.name == name }?.value
        }
    }

    @Test func aSmallRunMeasuresEveryPart() async throws {
        try await withTemporaryDirectory { folder in
            let process = try ChildProcess(
                TestEnvironment.t4Binary(),
                [
                    "bench-store", "--dir", folder.path, "--json", "--keys=500", "--updates=50", "--rounds=1",
                    "--delay=2", "--duration=0.05", "--objects=1500", "--rate=100", "--seconds=0.4",
                ], environment: TestEnvironment.forChildren)
            let status = try await process.wait(within: .seconds(100))
            let (output, errors) = (process.output.value.description, process.errors.value.description)
            try #require(status == .code(0), "\(errors)")
            let report = try JSONDecoder().decode(Report.self, from: Data(output.utf8))
            #expect(
                Set(report.figures.map(\.part))
                    == ["checkpoint", "restore", "durability", "collection", "history"])
            // 50 values of 300 bytes with their keys.
            let uploaded = try #require(report.value("checkpoint", "50 updates: uploaded"))
            #expect((0.015...0.1).contains(uploaded))
            #expect(report.value("collection", "listings of sst/") == 1)
            let pages = try #require(report.value("collection", "pages listed"))
            #expect(pages >= 2)
            let put = try #require(report.value("durability", "64 writers, object store: time of a put"))
            #expect(put >= 2)
            let replayed = try #require(report.value("history", "restore to the middle: entries replayed"))
            let writes = try #require(report.value("history", "writes"))
            #expect(writes > 0 && replayed <= writes)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
        }
    }

    @Test func aFolderWithSomethingInItIsRefused() async throws {
        try await withTemporaryDirectory { folder in
            try Data("mine".utf8).write(to: folder.appending(path: "file"))
            let process = try ChildProcess(
                TestEnvironment.t4Binary(), ["bench-store", "--dir", folder.path],
                environment: TestEnvironment.forChildren)
            let status = try await process.wait()
            #expect(status == .code(1))
            #expect(process.errors.value.description.contains("is not empty"))
        }
    }
}
