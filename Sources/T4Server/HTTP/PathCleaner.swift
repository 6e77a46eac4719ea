import RPC

/// Sends clients that ask for `/v3//kv/range` to `/v3/kv/range`, as Go's server does.
struct PathCleaner {
    /// The path without empty parts, `.` and `..`.
    let path: [UInt8]
    private let asked: [UInt8]

    init(_ asked: [UInt8]) {
        self.asked = asked
        var parts: [ArraySlice<UInt8>] = []
        for part in asked.split(separator: UInt8(ascii: "/")) where !part.elementsEqual(".".utf8) {
            if part.elementsEqual("..".utf8) { _ = parts.popLast() } else { parts.append(part) }
        }
        let slash = [UInt8(ascii: "/")]
        var path = slash + Array(parts.joined(separator: slash))
        if asked.last == slash[0], path != slash { path += slash }
        self.path = path
    }

    /// Where to send the client; nil if the path is as it should be.
    func location(_ exchange: HTTPExchange) -> String? {
        // What lies below it is known, and itself it is not.
        let isRoot = path.elementsEqual(Gateway.prefix.utf8.dropLast())
        guard isRoot || path != asked else { return nil }
        let query = exchange.query.isEmpty ? "" : "?" + exchange.query
        return isRoot ? Gateway.prefix + query : exchange.origin + Self.escaped(path) + query
    }

    private static func escaped(_ path: [UInt8]) -> String {
        var text = ""
        for byte in path {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "A")...UInt8(ascii: "Z"):
                text.unicodeScalars.append(Unicode.Scalar(byte))
            case _ where "-_.~$&+,/:;=@".utf8.contains(byte): text.unicodeScalars.append(Unicode.Scalar(byte))
            default: text += "%" + GoText.hexadecimal(UInt32(byte), 2).uppercased()
            }
        }
        return text
    }
}

extension HTTPExchange {
    /// Sends the client to another place.
    func redirect(to location: String) {
        var head = GatewayAnswers.head(301, ("Location", location))
        // What else there may be a body for is not to be shown.
        guard method == "GET" || method == "HEAD" else { return respond(head, body: []) }
        head.headers.append(("Content-Type", "text/html; charset=utf-8"))
        let signs = ["&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&#34;", "'": "&#39;"]
        let shown = location.map { signs[String($0)] ?? String($0) }.joined()
        respond(head, body: Array("<a href=\"\(shown)\">Moved Permanently</a>.\n\n".utf8))
    }
}
