import Foundation
import RawHTTP2
import T4Conformance

/// A Prometheus that looks at servers each second, on a free port of 127.0.0.1.
final class PrometheusUnderTest: Sendable {
    let process: ChildProcess
    private let client: WebClient

    private init(_ process: ChildProcess, port: Int) {
        self.process = process
        client = WebClient(port: port)
    }

    /// A program that `scripts/fetch-prometheus` puts there.
    static func tool(_ name: String) throws -> String {
        let path = TestEnvironment.root.appending(path: ".build/tools/prometheus/\(name)").path
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw ProcessFailure("there is no \(path): run scripts/fetch-prometheus once")
        }
        return path
    }

    /// Runs `body` beside a Prometheus that looks at these servers, which are the job `t4`.
    static func with<Result: Sendable>(
        in folder: URL, targets: [String], rules: URL, _ body: (PrometheusUnderTest) async throws -> Result
    ) async throws -> Result {
        let file = folder.appending(path: "prometheus.yml")
        let list = targets.map { "'\($0)'" }.joined(separator: ", ")
        try """
        global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
        rule_files: ['\(rules.path)']
        scrape_configs:
          - job_name: t4
            static_configs: [{targets: [\(list)]}]
        """.write(to: file, atomically: true, encoding: .utf8)
        let process = try ChildProcess(
            tool("prometheus"),
            [
                "--config.file=\(file.path)", "--storage.tsdb.path=\(folder.appending(path: "prometheus").path)",
                "--web.listen-address=127.0.0.1:0",
            ], environment: TestEnvironment.forChildren)
        do {
            let port = try await process.errors.wait(for: "prometheus to be ready") { said in
                if said.ended { throw ProcessFailure("prometheus ended: \(said)") }
                return portNumber(in: said.description)
            }
            let result = try await body(PrometheusUnderTest(process, port: port))
            await process.destroy()
            return result
        } catch {
            await process.destroy()
            throw error
        }
    }

    /// Where it listens, once it has said that it is ready.
    private static func portNumber(in said: String) -> Int? {
        guard said.contains("Server is ready to receive web requests") else { return nil }
        let listens = /msg="Listening on" address=127\.0\.0\.1:(?<port>\d+)/
        return said.firstMatch(of: listens).flatMap { Int($0.port) }
    }

    /// An answer of its API.
    private func ask(_ path: String) async throws -> [String: Any] {
        let answer = try await client.answer("GET", path)
        guard let object = try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any] else {
            throw ProcessFailure("no answer to \(path): \(answer.body)")
        }
        guard object["status"] as? String == "success" else { throw ProcessFailure("\(path): \(answer.body)") }
        return object
    }

    /// How many series a query finds now.
    /// - Throws: What is wrong with the query.
    func count(_ query: String) async throws -> Int { try await results(query).count }

    /// The numbers that a query finds now.
    func values(_ query: String) async throws -> [Double] {
        try await results(query).compactMap { result in
            (result["value"] as? [Any])?.last.flatMap { $0 as? String }.flatMap { Double($0) }
        }
    }

    private func results(_ query: String) async throws -> [[String: Any]] {
        let text = query.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
        let data = try await ask("/api/v1/query?query=\(text)")["data"] as? [String: Any]
        guard let results = data?["result"] as? [[String: Any]] else { throw ProcessFailure("no result of \(query)") }
        return results
    }

    /// The expressions of all rules that it has, and what is wrong with one.
    func rules() async throws -> [(expression: String, health: String, problem: String)] {
        let data = try await ask("/api/v1/rules")["data"] as? [String: Any]
        return (data?["groups"] as? [[String: Any]] ?? []).flatMap { $0["rules"] as? [[String: Any]] ?? [] }.map {
            rule in
            (
                rule["query"] as? String ?? "", rule["health"] as? String ?? "", rule["lastError"] as? String ?? ""
            )
        }
    }
}
