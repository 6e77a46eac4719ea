import Foundation
import RawHTTP2
import T4Conformance
import Testing

/// Goal: the log of a node can be read by programs, and tells of slow requests without what they say. Method: real nodes.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct LogTests {
    private func slowRequests(_ client: WebClient) async throws -> Int {
        let text = try await client.answer("GET", "/metrics").body
        let number = try #require(text.firstMatch(of: /\nt4_slow_requests_total (?<number>\d+)\n/))
        return try #require(Int(number.number))
    }

    private func addUser(_ client: WebClient, _ name: String) async throws {
        // Its password is hashed, which takes far longer than a millisecond.
        let body = #"{"name":"\#(name)","password":"not-for-the-log"}"#
        #expect(try await client.answer("POST", "/v3/auth/user/add", body).status == 200)
    }

    @Test func slowRequestsAreToldOf() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let file = folder.appending(path: "t4.toml")
                try "[log]\nformat = \"json\"\nlevel = \"trace\"\nslow_request = \"1ms\"\n".write(
                    to: file, atomically: true, encoding: .utf8)
                let server = try await ServerUnderTest.start(
                    .t4(engine: "memory"), dataDirectory: folder.appending(path: "data"),
                    options: ["--config", file.path, "--node-id", "node-a"])
                let client = WebClient(port: server.port)
                try await addUser(client, "a")
                let count = try await slowRequests(client)
                #expect(count >= 1)
                let line = try await server.process.errors.wait(for: "the slow request") { said in
                    said.description.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
                        .first { $0.contains("etcdserverpb.Auth/UserAdd") }
                }
                let fields = try #require(
                    try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
                #expect(fields["level"] == "warning" && fields["message"] == "a request took too long")
                #expect(fields["node"] == "node-a" && fields["code"] == "OK")
                #expect(Double(fields["duration_ms"] ?? "") ?? 0 >= 1)

                // Off, at once.
                try "[log]\nformat = \"json\"\nslow_request = \"0s\"\n".write(
                    to: file, atomically: true, encoding: .utf8)
                server.process.signal(SIGHUP)
                try await server.process.errors.untilSaid("the configuration was read again")
                let before = try await slowRequests(client)
                try await addUser(client, "b")
                #expect(try await slowRequests(client) == before)
                #expect(try await server.stop() == .code(0))

                // Every line is an object, and none has what clients have said.
                let all = server.process.errors.value.description
                #expect(!all.contains("not-for-the-log"))
                for line in all.split(separator: "\n") {
                    let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
                    let names = ["time", "level", "message", "node"]
                    #expect(names.allSatisfy { object?[$0] is String }, "\(line)")
                }
            }
        }
    }

    /// Also by the names that etcd has for it; half a second where nothing is said.
    @Test(arguments: [
        ([], "500ms"), (["--log-slow-request", "2s"], "2s"), (["--warning-unary-request-duration", "3s"], "3s"),
        (["--experimental-warning-unary-request-duration=0"], "0s"),
    ])
    func theTimeIsASetting(_ flags: [String], _ wanted: String) async throws {
        let process = try ChildProcess(
            TestEnvironment.t4Binary(), ["config", "show"] + flags, environment: TestEnvironment.forChildren)
        #expect(try await process.wait() == .code(0))
        #expect(process.output.value.description.contains("slow_request = \"\(wanted)\""))
    }
}
