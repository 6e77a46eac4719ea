import Foundation
import T4Conformance
import Testing

/// Goal: `t4 bench` measures what `scripts/bench-large` asks of it. Method: a small run against a server of its own.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct BenchTests {
    private struct Report: Decodable {
        struct Workload: Decodable {
            var workload: String
            var operations: Int
            var companion_seconds: Double?
        }

        var workloads: [Workload]
    }

    private func bench(_ server: ServerUnderTest, _ workloads: [String]) async throws -> (ExitStatus, ChildProcess) {
        let process = try ChildProcess(
            TestEnvironment.t4Binary(),
            [
                "bench", "--endpoint", "127.0.0.1:\(server.port)", "--json", "--keys=300", "--duration=0.05",
                "--warm-up=0", "--watches=40", "--workloads", workloads.joined(separator: ","),
            ], environment: TestEnvironment.forChildren)
        return (try await process.wait(), process)
    }

    @Test func aSmallRunMeasuresEveryWorkloadOfALargeOne() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let server = try await ServerUnderTest.start(
                    TestEnvironment.subject, dataDirectory: folder.appending(path: "data"))
                let names = [
                    "load", "count-seq", "replay-3", "watch-2+replay", "put-4+watches", "put-4+compact",
                ]
                let (status, process) = try await bench(server, names)
                try #require(status == .code(0), "\(process.errors.value)")
                let report = try JSONDecoder().decode(Report.self, from: Data(process.output.value.description.utf8))
                #expect(report.workloads.map(\.workload) == names)
                for result in report.workloads {
                    #expect(result.operations > 0, "\(result)")
                    let hasEnd = ["watch-2+replay", "put-4+compact"].contains(result.workload)
                    #expect((result.companion_seconds != nil) == hasEnd, "\(result)")
                }
                // 300 keys are three transactions; each of three watchers gets all of them.
                #expect(report.workloads[0].operations == 3)
                #expect(report.workloads[2].operations == 900)

                // What a compaction has removed cannot be replayed, and that is said.
                let (failed, second) = try await bench(server, ["replay-1"])
                #expect(failed == .code(1))
                #expect(second.errors.value.description.contains("cancelled a watch"))
                await server.crash()
            }
        }
    }
}
