import Foundation

/// One of the two servers and what only it knows: the tokens it has given.
struct WebSide: Sendable {
    let name: String
    private let client: any HTTPClient
    private var tokens: [String: String] = [:]

    /// - Parameter client: Nil: one that writes HTTP/1 by hand.
    init(_ server: ServerUnderTest, client: (any HTTPClient)? = nil) async throws {
        name = server.kind.description
        self.client = client ?? WebClient(port: server.port)
        try await self.client.waitUntilServed()
    }

    /// - Returns: What it shows.
    mutating func perform(_ step: RequestTable.Step) async throws -> [ShownAnswer] {
        switch step {
        case .login(let user, let password):
            let body = #"{"name":"\#(user)","password":"\#(password)"}"#
            let answer = try await client.answer("POST", "/v3/auth/authenticate", body, headers: [], lineCount: nil)
            tokens[user] = answer.body.firstMatch(of: /"token":"(?<token>[^"]+)"/).map { String($0.output.token) }
            return [ShownAnswer(answer)]
        case .request(let request):
            var headers = request.headers
            if let user = request.user {
                headers.append(("Authorization", user.prefix + (tokens[user.name] ?? "none")))
            }
            let answer = try await client.answer(
                request.method, request.path, request.body, headers: headers, lineCount: request.lineCount)
            return [ShownAnswer(answer)]
        case .raw(let step, _):
            // Bytes of HTTP/1.
            guard let client = client as? WebClient else { return [] }
            let tokens = tokens
            let answers = try await client.answers(
                to: step.bytes { tokens[$0] }, methods: step.methods, lineCount: step.lineCount)
            return answers.enumerated().map { place, answer in
                ShownAnswer(answer, lineCount: place + 1 == step.methods.count ? step.lineCount : nil)
            }
        }
    }
}

/// What must be equal of an answer.
struct ShownAnswer: Hashable, Sendable, CustomStringConvertible {
    var statusLine: String
    var headers: [String: String]
    /// Where the body ends is told by a length, by chunks, or not.
    var framing: String
    var body: String
    var chunks: [String]
    var continues: Int

    /// - Parameter lineCount: So many lines were wanted and count: what has come behind them is a matter of luck.
    init(_ answer: WebAnswer, lineCount: Int? = nil) {
        let isStream = lineCount != nil && answer.headers["content-length"] == nil
        statusLine = answer.statusLine
        let isBehindTLS = answer.statusLine.hasPrefix("HTTP/2 ")
        // Behind TLS etcd's gateway passes on what its own port adds to answers of gRPC.
        headers = answer.headers.filter { name, _ in
            !["date", "content-length", "transfer-encoding"].contains(name)
                && !(isBehindTLS && name.hasPrefix("grpc-metadata-"))
        }
        continues = answer.continues
        let lines = answer.body.split(separator: "\n", omittingEmptySubsequences: false).prefix(lineCount ?? .max)
        body = WebNames.common(lines.joined(separator: "\n"))
        chunks = isStream || WebNames.isOfItsOwn(answer.body) ? [] : answer.chunks.map(WebNames.common)
        // Ids and what else is a server's own may make the difference between short and long.
        framing =
            (1848..<2248).contains(answer.body.utf8.count) && !isStream
            ? "" : answer.chunks.isEmpty ? "whole" : "chunks"
        if isBehindTLS {
            framing =
                (3896..<4296).contains(answer.body.utf8.count) && !isStream || WebNames.isOfItsOwn(answer.body)
                ? "" : answer.headers["content-length"] == nil ? "of no length" : "whole"
        }
        if let size = answer.headers["content-length"] {
            framing += Int(size) == answer.body.utf8.count ? "" : ", \(size) bytes announced"
        }
        if !answer.isWhole, !isStream { framing += ", cut off" }
        if answer.isBodyless { framing = "" }
    }

    var description: String {
        let headers = headers.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\n" }.joined()
        let content = chunks.isEmpty ? body : "\(chunks)"
        return "\(statusLine) (\(framing), continued \(continues) times)\n\(headers)\n\(content)"
    }
}

/// Replaces what two servers cannot have in common.
enum WebNames {
    /// A body that each server fills as it likes: state of its own, a copy of its data, its members, its version.
    static func isOfItsOwn(_ body: String) -> Bool {
        ["\"dbSize\":", "\"blob\":", "\"members\":", "\"etcdserver\":\"3."].contains { body.contains($0) }
    }

    static func common(_ text: String) -> String {
        if isOfItsOwn(text) { return "of its own" }
        var text = text.replacing(/"(?<name>cluster_id|member_id|raft_term|token)":"[^"]*"/) {
            "\"\($0.output.name)\":\"\""
        }
        // Hashes are of what the server stores; a lease's keys are in no order, and time goes on.
        text = text.replacing(/,"hash":[0-9]+/, with: "").replacing(/,"hash_revision":"[0-9]+"/, with: "")
        guard text.contains("\"ID\":") else { return text }
        // Those that the server chose are longer than those of tests.
        text = text.replacing(/"ID":"[0-9]{15,}"/, with: "\"ID\":\"CHOSEN\"")
        guard text.contains("\"grantedTTL\":") else { return text }
        text = text.replacing(/"TTL":"[0-9]+",/, with: "")
        return text.replacing(/"keys":\[(?<keys>[^\]]*)\]/) { keys in
            "\"keys\":[" + keys.output.keys.split(separator: ",").sorted().joined(separator: ",") + "]"
        }
    }
}
