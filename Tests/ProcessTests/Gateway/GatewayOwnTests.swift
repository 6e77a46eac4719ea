import Foundation
import RawHTTP2
import T4Conformance
import Testing

/// Goal: what t4 promises about HTTP beyond etcd 3.5.1. Method: a real server.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct GatewayOwnTests {
    private func withServer(_ body: @Sendable (ServerUnderTest, WebClient) async throws -> Void) async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let server = try await ServerUnderTest.start(TestEnvironment.subject, dataDirectory: folder)
                do {
                    try await body(server, WebClient(port: server.port))
                } catch {
                    await server.crash()
                    throw error
                }
                #expect(try await server.stop() == .code(0))
            }
        }
    }

    /// The number of a metric without labels.
    private func metric(_ name: String, _ client: WebClient) async throws -> Double? {
        let text = try await client.answer("GET", "/metrics").body
        let line = text.split(separator: "\n").first { $0.hasPrefix(name + " ") }
        return line.flatMap { Double($0.dropFirst(name.count + 1)) }
    }

    @Test func versionHasTheShapeThatClientsSplit() async throws {
        try await withServer { _, client in
            let answer = try await client.answer("GET", "/version")
            #expect(answer.headers["content-type"] == "application/json")
            let versions = try JSONDecoder().decode([String: String].self, from: Data(answer.body.utf8))
            #expect(Set(versions.keys) == ["etcdserver", "etcdcluster", "storage"])
            for version in versions.values {
                let numbers = version.split(separator: ".")
                #expect(numbers.count == 3 && numbers.allSatisfy { Int($0) != nil })
            }
        }
    }

    @Test func checksHaveParts() async throws {
        try await withServer { _, client in
            for path in ["/livez", "/readyz", "/livez/serializable_read", "/readyz/non_learner"] {
                let answer = try await client.answer("GET", path)
                #expect(answer.status == 200 && answer.body == "ok\n", "\(path)")
            }
            let all = try await client.answer("GET", "/readyz?verbose")
            let parts = ["data_corruption", "linearizable_read", "non_learner", "serializable_read"]
            #expect(all.body == parts.map { "[+]\($0) ok\n" }.joined() + "ok\n")
            let fewer = try await client.answer("GET", "/readyz?verbose=1&exclude=non_learner&exclude=nix")
            #expect(fewer.body == parts.filter { $0 != "non_learner" }.map { "[+]\($0) ok\n" }.joined() + "ok\n")
            #expect(try await client.answer("GET", "/readyz/nix").status == 404)
            #expect(try await client.answer("POST", "/readyz", "").status == 405)
            let alarm = #"{"action":"ACTIVATE","alarm":"CORRUPT","memberID":"3"}"#
            #expect(try await client.answer("POST", "/v3/maintenance/alarm", alarm).status == 200)
            let bad = try await client.answer("GET", "/readyz")
            #expect(bad.status == 503 && bad.body.hasPrefix("[-]data_corruption failed: alarm activated: CORRUPT\n"))
            #expect(try await client.answer("GET", "/livez").status == 200)
            #expect(try await client.answer("GET", "/readyz?exclude=data_corruption").status == 200)
        }
    }

    @Test func metricsCountWhatHappens() async throws {
        try await withServer { server, client in
            #expect(try await metric("etcd_debugging_mvcc_keys_total", client) == 0)
            for key in ["YQ==", "Yg==", "Yw=="] {
                #expect(try await client.answer("POST", "/v3/kv/put", #"{"key":"\#(key)"}"#).status == 200)
            }
            let range = #"{"key":"YQ==","range_end":"Yw=="}"#
            #expect(try await client.answer("POST", "/v3/kv/deleterange", range).status == 200)
            #expect(try await client.answer("POST", "/v3/kv/range", "{}").status == 400)
            for (name, value) in [
                ("etcd_server_has_leader", 1), ("etcd_mvcc_put_total", 3), ("etcd_mvcc_delete_total", 2),
                ("etcd_debugging_mvcc_keys_total", 1), ("etcd_debugging_mvcc_current_revision", 5),
                ("etcd_debugging_mvcc_compact_revision", -1), ("etcd_disk_wal_fsync_duration_seconds_count", 4),
            ] { #expect(try await metric(name, client) == Double(value), "\(name)") }
            let text = try await client.answer("GET", "/metrics").body
            let labels = "grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\""
            for line in [
                "grpc_server_started_total{grpc_method=\"Put\",\(labels)} 3",
                "grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Put\",\(labels)} 3",
                "grpc_server_handled_total{grpc_code=\"InvalidArgument\",grpc_method=\"Range\",\(labels)} 1",
                "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"} 4",
            ] { #expect(text.split(separator: "\n").contains { $0 == line }, "\(line)") }
            // Each metric has a help, a type and a number, and no name stands in two places.
            var names: [Substring] = []
            for line in text.split(separator: "\n") where line.hasPrefix("# TYPE ") {
                names.append(line.split(separator: " ")[2])
            }
            #expect(Set(names).count == names.count && names.count > 30)
            for line in text.split(separator: "\n") where !line.hasPrefix("#") {
                #expect(names.contains { line.hasPrefix($0) } && Double(line.split(separator: " ").last ?? "") != nil)
            }
            #expect(try await metric("process_resident_memory_bytes", client) ?? 0 > 1_000_000)
            let start = try #require(try await metric("process_start_time_seconds", client))
            #expect(abs(start - Date().timeIntervalSince1970) < 86_400)
        }
    }

    /// A client that hangs up ends its watch, though nothing is sent to it.
    @Test func goneClientsLeaveNoWatch() async throws {
        try await withServer { _, client in
            for _ in 0..<3 {
                let create = #"{"create_request":{"key":"YQ=="}}"#
                _ = try await client.answer("POST", "/v3/watch", create, lineCount: 1)
            }
            while try await metric("etcd_debugging_mvcc_watcher_total", client) != 0 { await Task.yield() }
        }
    }

    /// Each event is a chunk of its own, and requests may follow while answers come.
    @Test func watchGoesBothWays() async throws {
        try await withServer { server, client in
            let peer = try await RawPeer(port: server.port)
            func chunk(_ text: String) -> String { String(text.utf8.count, radix: 16) + "\r\n\(text)\r\n" }
            try await peer.write(
                "POST /v3/watch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + chunk(#"{"create_request":{"key":"YQ==""#) + chunk("}}"))
            _ = await peer.read { WebAnswer($0)?.chunks.count == 1 }
            _ = try await client.answer("POST", "/v3/kv/put", #"{"key":"YQ==","value":"MQ=="}"#)
            _ = await peer.read { WebAnswer($0)?.chunks.count == 2 }
            try await peer.write(chunk(#"{"create_request":{"key":"Yg=="}}"#))
            _ = await peer.read { WebAnswer($0)?.chunks.count == 3 }
            _ = try await client.answer("POST", "/v3/kv/put", #"{"key":"Yg==","value":"Mg=="}"#)
            let bytes = await peer.read { WebAnswer($0)?.chunks.count == 4 }
            let chunks = try #require(WebAnswer(bytes)).chunks
            for chunk in chunks { #expect(chunk.hasPrefix(#"{"result":{"#) && chunk.hasSuffix("}}\n")) }
            #expect(chunks[1].contains(#""value":"MQ==""#) && chunks[3].contains(#""watch_id":"1""#))
            // It ends with the server, in order.
            try await server.stop()
            let all = String(decoding: await peer.readToEnd(), as: UTF8.self)
            #expect(all.hasSuffix("0\r\n\r\n") && all.contains(#"{"error":{"grpc_code":14,"#))
        }
    }

    /// Nothing is watched, so that there is nothing to begin an answer with. etcd mostly says the same, and sometimes that
    /// its stream has ended.
    @Test func streamsThatDoNotBeginInTimeAreErrors() async throws {
        try await withServer { _, client in
            for path in ["watch", "election/observe"] {
                let answer = try await client.answer(
                    "POST", "/v3/" + path, "{}", headers: [("Grpc-Timeout", "100m")])
                #expect(answer.status == 504 && answer.chunks.isEmpty)
                let text = "context deadline exceeded"
                #expect(answer.body == #"{"error":"\#(text)","code":4,"message":"\#(text)"}"#)
            }
        }
    }

    @Test func largeValuesComeThrough() async throws {
        try await withServer { _, client in
            let value = Data(repeating: 7, count: 1_500_000).base64EncodedString()
            let put = try await client.answer("POST", "/v3/kv/put", #"{"key":"YQ==","value":"\#(value)"}"#)
            #expect(put.status == 200)
            let got = try await client.answer("POST", "/v3/kv/range", #"{"key":"YQ=="}"#)
            #expect(got.body.contains(#""value":"\#(value)""#))
            let more = Data(repeating: 7, count: 1_600_000).base64EncodedString()
            let refused = try await client.answer("POST", "/v3/kv/put", #"{"key":"YQ==","value":"\#(more)"}"#)
            #expect(refused.status == 400 && refused.body.contains("etcdserver: request is too large"))
            let most = Data(repeating: 7, count: 2_500_000).base64EncodedString()
            let never = try await client.answer("POST", "/v3/kv/put", #"{"key":"YQ==","value":"\#(most)"}"#)
            #expect(never.status == 429 && never.body.contains("grpc: received message larger than max"))
        }
    }

    /// With or without the word that later releases of etcd allow before it, and as gRPC metadata.
    @Test func tokensComeInAllSpellings() async throws {
        try await withServer { _, client in
            for (path, body) in [
                ("user/add", #"{"name":"root","password":"r"}"#), ("role/add", #"{"name":"root"}"#),
                ("user/grant", #"{"user":"root","role":"root"}"#), ("enable", "{}"),
            ] { #expect(try await client.answer("POST", "/v3/auth/" + path, body).status == 200) }
            let login = try await client.answer(
                "POST", "/v3/auth/authenticate", #"{"name":"root","password":"r"}"#)
            let token = try #require(login.body.firstMatch(of: /"token":"(?<token>[^"]+)"/)).output.token
            for header in [
                ("Authorization", "\(token)"), ("authorization", "Bearer \(token)"),
                ("Grpc-Metadata-Token", "\(token)"),
                ("grpc-metadata-authorization", "\(token)"),
            ] {
                let answer = try await client.answer("POST", "/v3/kv/range", #"{"key":"YQ=="}"#, headers: [header])
                #expect(answer.status == 200, "\(header): \(answer.body)")
            }
            #expect(try await client.answer("POST", "/v3/kv/range", #"{"key":"YQ=="}"#).status == 400)
            // Who asks for health needs no user.
            #expect(try await client.answer("GET", "/health").body == #"{"health":"true","reason":""}"#)
        }
    }
}
