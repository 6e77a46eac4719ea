import Foundation
import RawHTTP2

/// Speaks HTTP/1.1 to a server, byte by byte as written here.
struct WebClient {
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

    private func request(
        _ method: String, _ path: String, _ body: String?, _ headers: [(name: String, value: String)]
    ) -> String {
        var text = "\(method) \(path) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nConnection: close\r\n"
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        if body != nil || method == "POST" { text += "Content-Length: \(body?.utf8.count ?? 0)\r\n" }
        return text + "\r\n" + (body ?? "")
    }

    /// Asks until the gateway serves: a server may accept connections before it does.
    func waitUntilServed() async throws {
        for _ in 0..<100_000 {
            if try await answer("POST", "/v3/maintenance/status", "{}").status == 200 { return }
            await Task.yield()
        }
        throw ProcessFailure("the gateway of port \(port) does not serve")
    }
}

/// An answer as far as it has come.
struct WebAnswer: Equatable {
    let status: Int
    /// By lower-case name.
    let headers: [String: String]
    let body: String
    /// The body as it was cut into chunks; empty without chunks.
    let chunks: [String]

    /// Nil while the head is not complete.
    init?(_ bytes: [UInt8]) {
        var rest = bytes[...]
        // What only says that the client may go on is no answer.
        while rest.starts(with: "HTTP/1.1 100 ".utf8) {
            guard let end = rest.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
            rest = rest[end.upperBound...]
        }
        guard let end = rest.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
        let lines = String(decoding: rest[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        let words = lines[0].split(separator: " ")
        guard words.count > 1, let status = Int(words[1]) else { return nil }
        self.status = status
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            headers[parts[0].lowercased()] = parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : ""
        }
        self.headers = headers
        rest = rest[end.upperBound...]
        guard headers["transfer-encoding"] == "chunked" else {
            body = String(decoding: rest, as: UTF8.self)
            chunks = []
            return
        }
        var chunks: [String] = []
        while let line = rest.firstRange(of: Array("\r\n".utf8)),
            let size = Int(String(decoding: rest[..<line.lowerBound], as: UTF8.self), radix: 16), size > 0,
            rest[line.upperBound...].count >= size + 2
        {
            rest = rest[line.upperBound...]
            chunks.append(String(decoding: rest.prefix(size), as: UTF8.self))
            rest = rest.dropFirst(size + 2)
        }
        self.chunks = chunks
        body = chunks.joined()
    }
}
