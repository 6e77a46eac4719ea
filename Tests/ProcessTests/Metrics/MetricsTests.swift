import Foundation
import RawHTTP2
import T4Conformance
import Testing

/// Goal: docs/metrics.md, the alert rules and the dashboard speak of what nodes tell, and of nothing else. Method: a cluster,
/// whose nodes have every part that has numbers, beside the documents and a real Prometheus.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"), .timeLimit(.minutes(30)))
struct MetricsTests {
    private static let deploy = TestEnvironment.root.appending(path: "deploy")
    private static let rules = deploy.appending(path: "prometheus/t4-alerts.yaml")

    /// Two nodes that have done something of everything, and a read replica.
    private func withCluster(
        _ body: @Sendable (_ nodes: [ServerUnderTest], _ folder: URL) async throws -> Void
    ) async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let options = { @Sendable (_: Int) in ["--quota-backend-bytes", "1GiB", "--checkpoint-entries", "2"] }
                try await ClusterUnderTest.with(2, in: folder, options: options) { cluster in
                    try await cluster.untilInSync(2)
                    for node in cluster.nodes { try await use(WebClient(port: node.port)) }
                    let replica = try await ServerUnderTest.start(
                        .t4(engine: nil), dataDirectory: folder.appending(path: "replica"),
                        options: cluster.store(of: nil) + ["--read-replica"])
                    let web = WebClient(port: replica.port)
                    while try await !web.answer("GET", "/metrics").body.contains("t4_replica_staleness_seconds") {
                        await Task.yield()
                    }
                    try await body(cluster.nodes + [replica], folder)
                    #expect(try await replica.stop() == .code(0))
                }
            }
        }
    }

    /// Requests of each kind that a metric is about.
    private func use(_ client: WebClient) async throws {
        func ask(_ path: String, _ body: String, _ status: Int = 200) async throws {
            let answer = try await client.answer("POST", "/v3/" + path, body)
            #expect(answer.status == status, "\(path): \(answer.body)")
        }
        try await ask("kv/put", #"{"key":"YQ==","value":"MQ=="}"#)
        try await ask("kv/put", #"{"key":"YQ==","value":"Mg=="}"#)
        try await ask("kv/put", "{}", 400)
        try await ask("kv/range", #"{"key":"YQ=="}"#)
        try await ask("kv/deleterange", #"{"key":"YQ=="}"#)
        try await ask("kv/txn", #"{"success":[{"request_put":{"key":"Yg=="}}]}"#)
        try await ask("lease/grant", #"{"TTL":"1000"}"#)
        let create = #"{"create_request":{"key":"YQ==","start_revision":"1"}}"#
        _ = try await client.answer("POST", "/v3/watch", create, lineCount: 2)
    }

    // MARK: The document

    private struct Documented: Equatable {
        var type: String
        var labels: Set<String>
    }

    /// The rows of the tables of docs/metrics.md.
    private func documented() throws -> [String: Documented] {
        let url = TestEnvironment.root.appending(path: "docs/metrics.md")
        var found: [String: Documented] = [:]
        for line in try String(contentsOf: url, encoding: .utf8).split(separator: "\n") where line.hasPrefix("| `") {
            let cells = line.split(separator: "|", omittingEmptySubsequences: false).map {
                $0.trimmingCharacters(in: .whitespaces)
            }
            try #require(cells.count == 7, "\(line)")
            let name = cells[1].trimmingCharacters(in: ["`"])
            #expect(found[name] == nil, "\(name) stands there twice")
            #expect(!cells[4].isEmpty && !cells[5].isEmpty, "\(name)")
            let labels = cells[3].matches(of: /`(?<name>\w+)`/).map { String($0.name) }
            found[name] = Documented(type: cells[2], labels: Set(labels))
        }
        return found
    }

    @Test func theDocumentHasEveryMetricAndNoOther() async throws {
        try await withCluster { nodes, _ in
            var exposed = Exposition("")
            for node in nodes {
                let answer = try await WebClient(port: node.port).answer("GET", "/metrics")
                exposed.add(Exposition(answer.body))
            }
            #expect(exposed.problems.isEmpty)
            let documented = try documented()
            #expect(documented.count > 80)
            #expect(Set(exposed.types.keys).subtracting(documented.keys) == [], "are not documented")
            #expect(Set(documented.keys).subtracting(exposed.types.keys) == [], "are not there")
            for (name, wanted) in documented {
                #expect(exposed.types[name] == wanted.type, "\(name)")
                #expect(exposed.labels[name] == wanted.labels, "\(name)")
            }
        }
    }

    @Test func theDocumentNamesNothingElse() throws {
        // The last one is said to be missing.
        let names = Set(try documented().keys).union(["etcd_disk_backend_commit_duration_seconds"])
        for document in ["docs/operations.md", "docs/clusters.md", "docs/etcd-compatibility.md", "README.md"] {
            let text = try String(
                contentsOf: TestEnvironment.root.appending(path: document), encoding: .utf8)
            for match in text.matches(of: /`(?<name>(?:t4|etcd|grpc|process|os)_[a-z_]+[a-z])(?:\{[^`]*\})?`/) {
                let name = String(match.name)
                #expect(names.contains(name) || names.contains { $0.hasPrefix(name + "_") }, "\(document): \(name)")
            }
        }
    }

    // MARK: Queries

    /// The expressions of the dashboard, with its variables as they are when everything is chosen.
    private func dashboard() throws -> [String] {
        let file = Self.deploy.appending(path: "grafana/t4-overview.json")
        let object = try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any]
        let panels = try #require(object?["panels"] as? [[String: Any]])
        let titles = panels.compactMap { $0["title"] as? String }
        #expect(titles.count == panels.count && Set(panels.compactMap { $0["id"] as? Int }).count == panels.count)
        return panels.flatMap { $0["targets"] as? [[String: Any]] ?? [] }.compactMap { $0["expr"] as? String }.map {
            $0.replacing("$__rate_interval", with: "1m").replacing("$job", with: ".*").replacing(
                "$instance", with: ".*")
        }
    }

    /// What a query reads: names with their conditions.
    private func selectors(_ query: String) -> [String] {
        query.matches(of: /\b(?:up|(?:t4|etcd|grpc_server|process|os)_\w+)\b(?:\{[^}]*\})?/).map { String($0.output) }
    }

    @Test func everyQueryFindsWhatItAsksFor() async throws {
        let dashboard = try dashboard()
        #expect(dashboard.count > 50)
        try await withCluster { nodes, folder in
            try await PrometheusUnderTest.with(in: folder, targets: nodes.map(\.address), rules: Self.rules) {
                prometheus in
                // Rates need several looks.
                while try await prometheus.count("count_over_time(t4_build_info[1h]) >= 4") < 3 { await Task.yield() }
                var rules = try await prometheus.rules()
                while rules.contains(where: { $0.health == "unknown" }) { rules = try await prometheus.rules() }
                #expect(rules.count > 20)
                for rule in rules { #expect(rule.health == "ok", "\(rule.expression): \(rule.problem)") }
                // Only where it is wrong a query fails.
                for query in dashboard { _ = try await prometheus.count(query) }
                for selector in Set((dashboard + rules.map(\.expression)).flatMap(selectors)) {
                    // Codes that no call ended with have no series.
                    let query = selector.replacing(/grpc_code!="OK"/, with: #"grpc_code="OK""#)
                    #expect(try await prometheus.count(query) > 0, "\(selector)")
                }
                for query in dashboard where query.hasPrefix("sum by (op) (rate(t4_writes_total") {
                    #expect(try await !prometheus.values(query).contains { $0.isNaN }, "\(query)")
                }
            }
        }
    }

    // MARK: Alerts

    private func promtool(_ arguments: [String]) async throws {
        let process = try ChildProcess(
            PrometheusUnderTest.tool("promtool"), arguments, environment: TestEnvironment.forChildren)
        #expect(try await process.wait() == .code(0), "\(process.output.value)\(process.errors.value)")
    }

    @Test func alertsFireWhereTheyShould() async throws {
        try await promtool(["check", "rules", Self.rules.path])
        let tests = Self.deploy.appending(path: "prometheus/t4-alerts.test.yaml")
        try await promtool(["test", "rules", tests.path])
        let text = try String(contentsOf: tests, encoding: .utf8)
        let alerts = try String(contentsOf: Self.rules, encoding: .utf8).matches(of: /- alert: (?<name>\w+)/)
        #expect(alerts.count > 20)
        for alert in alerts {
            // Once with what makes it fire, once where all is well.
            #expect(text.matches(of: try Regex("alertname: \(alert.name)\\b")).count == 2, "\(alert.name)")
        }
    }
}
