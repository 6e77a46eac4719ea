import NIOHTTP1

/// Why a request is answered before anybody looks at what it asks for, in the words of Go's server. The connection ends.
struct HTTPRefusal: Error {
    let status: HTTPResponseStatus
    let text: String

    /// - Parameter fault: What stands behind the reason of the status, with a text of its own; nil for the status alone.
    private init(_ status: HTTPResponseStatus, _ fault: String? = nil) {
        let reason = status.reasonPhrase + (fault.map { ": " + $0 } ?? "")
        self.status = .custom(code: status.code, reasonPhrase: reason)
        text = "\(status.code) \(reason)"
    }

    private init(_ status: HTTPResponseStatus, saying text: String) {
        self.status = status
        self.text = text
    }

    /// What is no HTTP.
    init(_ error: HTTPParserError) { self.init(error == .headerOverflow ? .requestHeaderFieldsTooLarge : .badRequest) }

    /// Looks at the head of a request.
    /// - Returns: What it asks for.
    static func check(_ head: HTTPRequestHead) throws(HTTPRefusal) -> HTTPTarget {
        let encodings = head.headers["transfer-encoding"]
        // HTTP/1.0 has no chunks: where such a request ends is not clear to whoever stands in between.
        if head.version.minor == 0, !encodings.isEmpty { throw HTTPRefusal(.badRequest) }
        guard encodings.isEmpty || encodings.count == 1 && encodings[0].lowercased() == "chunked" else {
            throw HTTPRefusal(.notImplemented, saying: "Unsupported transfer encoding")
        }
        guard let target = HTTPTarget(head.uri, method: head.method.rawValue) else { throw HTTPRefusal(.badRequest) }
        let hosts = head.headers["host"]
        if hosts.isEmpty, head.version.minor > 0, head.method != .CONNECT {
            throw HTTPRefusal(.badRequest, "missing required Host header")
        }
        if hosts.count > 1 { throw HTTPRefusal(.badRequest, "too many Host headers") }
        guard hosts.allSatisfy({ $0.utf8.allSatisfy(isOfHost) }) else {
            throw HTTPRefusal(.badRequest, "malformed Host header")
        }
        if let expected = head.headers["expect"].first, !expected.isEmpty, !expectsContinue(head) {
            throw HTTPRefusal(.expectationFailed, saying: "")
        }
        return target
    }

    /// The client sends its body once it is asked for it.
    static func expectsContinue(_ head: HTTPRequestHead) -> Bool {
        head.headers[canonicalForm: "expect"].contains { $0.lowercased() == "100-continue" }
    }

    private static func isOfHost(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"):
            true
        default: "!$%&()*+,-.:;=@[]'_~".utf8.contains(byte)
        }
    }
}
