import Foundation
import T4Conformance
import Testing

/// Goal: over HTTP t4 is etcd, byte for byte. Method: the same requests go to both, on fresh servers.
struct GatewayTests {
    @Test(arguments: RequestTable.names)
    func answersAsEtcd(_ name: String) async throws {
        let table = try RequestTable(named: name)
        try await Slots.servers.use {
            let subject = TestEnvironment.subject
            async let wanted = answers(table, of: .etcd)
            async let got = answers(table, of: subject)
            for ((request, wanted), (_, got)) in zip(try await wanted, try await got) where wanted != got {
                let text = SideBySide.columns(Self.text(wanted), Self.text(got))
                Issue.record("\(name):\(request.line): \(request.text)\n\(text)")
            }
        }
    }

    @Test func requestsAreThere() throws {
        #expect(RequestTable.names.count >= 8)
        #expect(try RequestTable(named: "json.requests").steps.count > 100)
    }

    /// The comparison must see each of its parts.
    @Test func differencesAreSeen() throws {
        let text = "HTTP/1.1 200 OK\r\nContent-Type: a\r\nDate: now\r\nContent-Length: 5\r\n\r\n"
        let one = try #require(WebAnswer(Array((text + #"{"member_id":"1","x":"2"}"#).utf8)))
        let same = text.replacing("now", with: "later") + #"{"member_id":"3","x":"2"}"#
        #expect(try Self.compared(one) == Self.compared(#require(WebAnswer(Array(same.utf8)))))
        for (old, new) in [("200", "201"), ("a\r\n", "b\r\n"), ("Content-Type", "Accept"), ("\"2\"", "\"3\"")] {
            let other = (text + #"{"member_id":"1","x":"2"}"#).replacing(old, with: new)
            #expect(try Self.compared(one) != Self.compared(#require(WebAnswer(Array(other.utf8)))))
        }
    }

    private struct Compared: Equatable, Sendable {
        var status: Int
        var headers: [String: String]
        var body: String
        var chunks: [String]
    }

    /// What must be equal: ids, terms, tokens and dates are each server's own, and lengths follow from them.
    private static func compared(_ answer: WebAnswer) -> Compared {
        let own = /"(?<name>cluster_id|member_id|raft_term|token)":"[^"]*"/
        func withoutOwn(_ text: String) -> String { text.replacing(own) { "\"\($0.output.name)\":\"\"" } }
        return Compared(
            status: answer.status,
            headers: answer.headers.filter { !["date", "content-length", "connection"].contains($0.key) },
            body: withoutOwn(answer.body), chunks: answer.chunks.map(withoutOwn))
    }

    private static func text(_ answer: Compared) -> String {
        let headers = answer.headers.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\n" }.joined()
        return "\(answer.status)\n\(headers)\n\(answer.chunks.isEmpty ? answer.body : "\(answer.chunks)")"
    }

    private func answers(
        _ table: RequestTable, of kind: ServerUnderTest.Kind
    ) async throws -> [(RequestTable.Request, Compared)] {
        try await withTemporaryDirectory { folder in
            let server = try await ServerUnderTest.startWithGateway(kind, dataDirectory: folder.appending(path: "d"))
            let client = WebClient(port: server.port)
            var tokens: [String: String] = [:]
            var answers: [(RequestTable.Request, Compared)] = []
            do {
                try await client.waitUntilServed()
                for step in table.steps {
                    switch step {
                    case .login(let user, let password):
                        let body = #"{"name":"\#(user)","password":"\#(password)"}"#
                        let answer = try await client.answer("POST", "/v3/auth/authenticate", body)
                        tokens[user] = answer.body.firstMatch(of: /"token":"(?<token>[^"]+)"/).map {
                            String($0.output.token)
                        }
                    case .request(let request):
                        var headers = request.headers
                        if let user = request.user {
                            headers.append(("Authorization", user.prefix + (tokens[user.name] ?? "none")))
                        }
                        let answer = try await client.answer(
                            request.method, request.path, request.body, headers: headers, lineCount: request.lineCount)
                        answers.append((request, Self.compared(answer)))
                    }
                }
            } catch {
                await server.crash()
                throw error
            }
            try await server.stop()
            return answers
        }
    }
}

extension ServerUnderTest {
    /// Starts a server whose gateway works: etcd's dials the address it was told, so that its port must be chosen here.
    static func startWithGateway(_ kind: Kind, dataDirectory: URL) async throws -> ServerUnderTest {
        guard kind == .etcd else { return try await start(kind, dataDirectory: dataDirectory) }
        var tries = 0
        while true {
            // Below the ports that the system gives away.
            let url = "http://127.0.0.1:\(Int.random(in: 10_000..<30_000))"
            do {
                return try await start(
                    kind, dataDirectory: dataDirectory.appending(path: "\(tries)"),
                    options: [
                        "--enable-grpc-gateway=true", "--listen-client-urls", url, "--advertise-client-urls", url,
                    ])
            } catch is StartFailed where tries < 20 {
                tries += 1
            }
        }
    }
}
