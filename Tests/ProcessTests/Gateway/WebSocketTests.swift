import Foundation
import RawHTTP2
import Testing

/// Goal: what a WebSocket shows is what etcd's shows. Method: the same conversations with both, on fresh servers.
struct WebSocketGatewayTests {
    /// What a client says and hears.
    private struct Conversation {
        var path: String
        var headers: [String] = []
        var handshake = RawWebSocket.handshake
        var method = "GET"
        var turns: [Turn] = []
    }

    private enum Turn {
        case say(String)
        /// So many messages, or fewer if the server closes.
        case hear(Int)
        /// A request beside the WebSocket.
        case post(String, String)
    }

    private static let key = "a2V5"

    private static let conversations: [Conversation] = [
        Conversation(
            path: "/v3/watch",
            turns: [
                .say(#"{"create_request":{"key":"\#(key)"}}"#), .hear(1),
                .post("/v3/kv/put", #"{"key":"\#(key)","value":"MQ=="}"#), .hear(1),
                .say(#"{"create_request":{"key":"\#(key)","start_revision":"1","prev_kv":true}}"#), .hear(2),
                .post("/v3/kv/deleterange", #"{"key":"\#(key)"}"#), .hear(2),
                .say(#"{"cancel_request":{"watch_id":"0"}}"#), .hear(1),
            ]),
        // A message in two texts, and two in one.
        Conversation(
            path: "/v3/watch",
            turns: [
                .say(#"{"create_request":"#), .say(#"{"key":"\#(key)"}}"#), .hear(1),
                .say(#"{"progress_request":{}}{"cancel_request":{"watch_id":"0"}}"#), .hear(2),
            ]),
        Conversation(path: "/v3/watch", turns: [.say(#"{"create_request":{"key":12}}"#), .hear(9)]),
        Conversation(path: "/v3/watch", turns: [.say("no JSON"), .hear(9)]),
        Conversation(
            path: "/v3/lease/keepalive",
            turns: [.say(#"{"ID":"77"}"#), .hear(1), .say(#"{"ID":"78"}"#), .hear(1)]),
        Conversation(path: "/v3/nothing", turns: [.hear(9)]),
        Conversation(path: "/v3/kv/put", handshake: RawWebSocket.handshake.replacing("13", with: "12")),
        Conversation(path: "/v3/kv/put", handshake: RawWebSocket.handshake.replacing("Key", with: "Kex")),
        Conversation(path: "/v3/kv/put", method: "POST"),
        Conversation(path: "/v3//kv/put"), Conversation(path: "/version", method: "POST"),
    ]

    /// Headers, and whether they prove a login. Later versions of etcd take them so; 3.5.1 knows no "Bearer" and refuses all.
    private static let logins: [([String], isGood: Bool)] = [
        ([], false), (["Sec-WebSocket-Protocol: Bearer, TOKEN"], true),
        (["Sec-WebSocket-Protocol: Bearer,TOKEN"], true),
        (["Sec-WebSocket-Protocol: TOKEN"], false), (["Sec-WebSocket-Protocol: Bearer, none.1"], false),
        (["Cookie: a=b; token=TOKEN"], true),
        (["Cookie: token=none.1", "Sec-WebSocket-Protocol: Bearer, TOKEN"], false),
        // Pages cannot send these.
        (["Authorization: TOKEN"], false), (["Grpc-Metadata-Token: TOKEN"], false),
    ]

    /// etcd reads the request of a call with one message to its end, which a WebSocket does not have, and never answers.
    private static let unary: [(conversation: Conversation, answer: String)] = [
        (
            Conversation(path: "/v3/kv/put", turns: [.say(#"{"key":"\#(key)","value":"Mg=="}"#), .hear(9)]),
            #""revision":"2""#
        ),
        (
            Conversation(path: "/v3/kv/range?x=y", turns: [.say(#"{"key":"#), .say(#""\#(key)"}{"#), .hear(9)]),
            #""value":"Mg==""#
        ),
        (
            Conversation(path: "/v3beta/kv/range", turns: [.say(#"{"key":""}"#), .hear(9)]),
            #"{"error":"etcdserver: key is not provided","code":3,"message":"etcdserver: key is not provided"}"#
        ),
        (Conversation(path: "/v3/maintenance/snapshot", turns: [.say("{}"), .hear(1)]), "1: of its own"),
    ]

    @Test func conversationsAreEtcds() async throws {
        try await expectEqual(Self.conversations)
    }

    @Test func pagesLogIn() async throws {
        let conversations = Self.logins.map { headers, _ in
            Conversation(
                path: "/v3/watch", headers: headers,
                turns: [.say(#"{"create_request":{"key":"\#(Self.key)"}}"#), .hear(1)])
        }
        try await Slots.servers.use {
            let heard = try await heard(conversations, by: TestEnvironment.subject, login: true)
            for (heard, (headers, isGood)) in zip(heard, Self.logins) {
                #expect(heard.contains(#""created":true"#), "\(headers)")
                #expect(heard.contains(#""canceled":true"#) != isGood, "\(headers): \(heard)")
                let isOffered = headers.contains { $0.contains("Protocol: Bearer") }
                #expect(heard.contains("\nSec-WebSocket-Protocol: Bearer\n") == isOffered, "\(headers): \(heard)")
            }
        }
    }

    @Test func callsWithOneMessageAreAnswered() async throws {
        try await Slots.servers.use {
            let heard = try await heard(Self.unary.map(\.conversation), by: TestEnvironment.subject)
            for (heard, (conversation, answer)) in zip(heard, Self.unary) {
                #expect(heard.contains(answer), "\(conversation)")
                #expect(heard.hasSuffix("closed") || conversation.path.hasSuffix("snapshot"), "\(conversation)")
            }
        }
    }

    private func expectEqual(_ conversations: [Conversation]) async throws {
        try await Slots.servers.use {
            let subject = TestEnvironment.subject
            async let wanted = heard(conversations, by: .etcd)
            async let got = heard(conversations, by: subject)
            let (etcd, t4) = (try await wanted, try await got)
            #expect(etcd.count == t4.count)
            for ((wanted, got), conversation) in zip(zip(etcd, t4), conversations) where wanted != got {
                Issue.record("\(conversation)\n\(SideBySide.columns(wanted, got))")
            }
        }
    }

    private func heard(
        _ conversations: [Conversation], by kind: ServerUnderTest.Kind, login: Bool = false
    ) async throws -> [String] {
        try await withTemporaryDirectory { folder in
            let server = try await ServerUnderTest.startWithGateway(kind, dataDirectory: folder.appending(path: "d"))
            var results: [String] = []
            do {
                let web = WebClient(port: server.port)
                try await web.waitUntilServed()
                let token = login ? try await self.login(web) : ""
                for conversation in conversations {
                    results.append(try await Self.heard(conversation, web, token: token))
                }
            } catch {
                await server.crash()
                throw error
            }
            try await server.stop()
            return results
        }
    }

    /// Turns authentication on.
    /// - Returns: A token of root.
    private func login(_ web: WebClient) async throws -> String {
        for (path, body) in [
            ("user/add", #"{"name":"root","password":"pw"}"#), ("role/add", #"{"name":"root"}"#),
            ("user/grant", #"{"user":"root","role":"root"}"#), ("enable", "{}"),
        ] {
            let answer = try await web.answer("POST", "/v3/auth/" + path, body)
            #expect(answer.status == 200, "\(path): \(answer.body)")
        }
        let answer = try await web.answer("POST", "/v3/auth/authenticate", #"{"name":"root","password":"pw"}"#)
        return try #require(answer.body.firstMatch(of: /"token":"(?<token>[^"]+)"/).map { String($0.output.token) })
    }

    private static func heard(_ conversation: Conversation, _ web: WebClient, token: String) async throws -> String {
        var socket = try await RawWebSocket(
            port: web.port, conversation.path, handshake: conversation.handshake,
            headers: conversation.headers.map { $0.replacing("TOKEN", with: token) }, method: conversation.method)
        let head = socket.head.split(separator: "\r\n").map(String.init)
        // Of an answer that is none of a WebSocket the other tests look at each header.
        var lines = [head.first ?? ""]
        lines += head.filter { $0.lowercased().hasPrefix("sec-websocket") }
        for turn in conversation.turns {
            switch turn {
            case .say(let text): try await socket.send(text)
            case .post(let path, let body): _ = try await web.answer("POST", path, body)
            case .hear(let count):
                var heard: [String] = []
                for _ in 0..<count {
                    // etcd leaves without a word, t4 closes first.
                    guard let frame = await socket.next(), frame.opcode != RawWebSocket.Opcode.close else {
                        heard.append("closed")
                        break
                    }
                    heard.append("\(frame.opcode): " + WebNames.common(frame.text))
                }
                // Which of two watches hears of a change first is left to chance.
                lines += heard.sorted()
            }
        }
        return lines.joined(separator: "\n")
    }
}
