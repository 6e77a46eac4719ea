import Foundation
import RawHTTP2

/// Asks a server over HTTP.
protocol HTTPClient: Sendable {
    var port: Int { get }
    /// Sends a request on a connection of its own and reads the answer.
    /// - Parameter lineCount: So many lines are enough; nil: all of it.
    func answer(
        _ method: String, _ path: String, _ body: String?, headers: [(name: String, value: String)], lineCount: Int?
    ) async throws -> WebAnswer
}

/// Speaks HTTP/1.1 to a server, byte by byte as written here.
struct WebClient: HTTPClient {
    let port: Int

    /// Sends a request on a connection of its own and reads the answer.
    func answer(
        _ method: String, _ path: String, _ body: String? = nil, headers: [(name: String, value: String)] = [],
        lineCount: Int? = nil
    ) async throws -> WebAnswer {
        let peer = try await RawPeer(port: port)
        try await peer.write(request(method, path, body, headers))
        let bytes: [UInt8]
        if let lineCount {
            bytes = await peer.read { bytes in
                guard let answer = WebAnswer(bytes) else { return false }
                return answer.body.count { $0 == "\n" } >= lineCount
            }
        } else {
            bytes = await peer.readToEnd()
        }
        guard let answer = WebAnswer(bytes) else {
            throw ProcessFailure("no answer to \(method) \(path): \(String(decoding: bytes, as: UTF8.self))")
        }
        return answer
    }

    /// Sends bytes on a connection of their own and reads what comes until the server closes, or as many lines as are
    /// wanted of the last answer.
    /// - Parameter methods: Of the requests.
    func answers(to bytes: [UInt8], methods: [String], lineCount: Int? = nil) async throws -> [WebAnswer] {
        // A server that waits for more, or makes wait, has nothing more to show.
        let peer = try await RawPeer(port: port, patienceSeconds: 60)
        // A server that has had enough may close before it has read all.
        _ = await peer.flood(1) { _ in bytes }
        let got = await peer.read { bytes in
            guard let lineCount else { return false }
            let answers = WebAnswer.all(bytes, methods: methods)
            guard answers.count == methods.count, let last = answers.last else { return false }
            return last.body.count { $0 == "\n" } >= lineCount
        }
        return WebAnswer.all(got, methods: methods)
    }

    private func request(
        _ method: String, _ path: String, _ body: String?, _ headers: [(name: String, value: String)]
    ) -> String {
        var text = "\(method) \(path) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nConnection: close\r\n"
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        if body != nil || method == "POST" { text += "Content-Length: \(body?.utf8.count ?? 0)\r\n" }
        return text + "\r\n" + (body ?? "")
    }
}

extension HTTPClient {
    /// Asks until the gateway serves: a server may accept connections before it does.
    func waitUntilServed() async throws {
        for _ in 0..<100_000 {
            if try await answer("POST", "/v3/maintenance/status", "{}", headers: [], lineCount: nil).status == 200 {
                return
            }
            await Task.yield()
        }
        throw ProcessFailure("the gateway of port \(port) does not serve")
    }
}
