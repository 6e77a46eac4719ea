import Foundation

/// An answer as far as it has come.
struct WebAnswer: Equatable {
    /// As in `HTTP/1.1 200 OK`.
    let statusLine: String
    /// By lower-case name; the values of a name that comes more than once stand behind each other.
    let headers: [String: String]
    let body: String
    /// The body as it was cut into chunks; empty without chunks.
    let chunks: [String]
    /// How often the server said before that the client may go on.
    let continues: Int
    /// All of it has come.
    let isWhole: Bool
    /// Whatever the head says, there is no body.
    let isBodyless: Bool
    /// Bytes from its beginning to its end.
    let length: Int

    var status: Int { Int(statusLine.split(separator: " ").dropFirst().first ?? "") ?? 0 }

    /// Nil while the head is not complete.
    /// - Parameter method: That of the request: HEAD gets no body.
    init?(_ bytes: some Collection<UInt8>, method: String = "POST") {
        let bytes = Array(bytes)
        var rest = bytes[...]
        var continues = 0
        // What only says that the client may go on is no answer.
        while rest.starts(with: "HTTP/1.1 100 ".utf8) || rest.starts(with: "HTTP/2 100 ".utf8) {
            guard let end = rest.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
            rest = rest[end.upperBound...]
            continues += 1
        }
        guard let end = rest.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
        let lines = String(decoding: rest[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        statusLine = lines[0]
        guard lines[0].split(separator: " ").count > 1 else { return nil }
        self.continues = continues
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            let value = parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : ""
            headers[parts[0].lowercased(), default: ""] += (headers[parts[0].lowercased()] == nil ? "" : ", ") + value
        }
        self.headers = headers
        rest = rest[end.upperBound...]
        isBodyless = method == "HEAD"
        guard headers["transfer-encoding"] == "chunked", !isBodyless else {
            let size = isBodyless ? 0 : headers["content-length"].flatMap { Int($0) }
            body = String(decoding: rest.prefix(size ?? rest.count), as: UTF8.self)
            chunks = []
            isWhole = rest.count >= size ?? 0
            length = bytes.count - rest.count + min(rest.count, size ?? rest.count)
            return
        }
        var chunks: [String] = []
        var isWhole = false
        while let line = rest.firstRange(of: Array("\r\n".utf8)),
            let size = Int(String(decoding: rest[..<line.lowerBound], as: UTF8.self), radix: 16),
            rest[line.upperBound...].count >= size + 2
        {
            rest = rest[line.upperBound...].dropFirst(size + 2)
            guard size > 0 else {
                isWhole = true
                break
            }
            chunks.append(String(decoding: bytes[line.upperBound..<line.upperBound + size], as: UTF8.self))
        }
        self.chunks = chunks
        self.isWhole = isWhole
        length = bytes.count - rest.count
        body = chunks.joined()
    }

    /// The answers of a connection, the last one as far as it has come.
    static func all(_ bytes: [UInt8], methods: [String]) -> [WebAnswer] {
        var answers: [WebAnswer] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let method = answers.count < methods.count ? methods[answers.count] : "POST"
            guard let answer = WebAnswer(rest, method: method) else { break }
            answers.append(answer)
            rest = rest.dropFirst(answer.length)
        }
        return answers
    }
}
