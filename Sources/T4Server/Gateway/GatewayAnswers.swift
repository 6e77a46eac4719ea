import RPC

/// What the gateway answers besides messages: as etcd 3.5 does.
enum GatewayAnswers {
    /// On every answer of the port, since etcd lets pages of every origin ask.
    static let commonHeaders = [
        ("Access-Control-Allow-Headers", "accept, content-type, authorization"),
        ("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE"),
        ("Access-Control-Allow-Origin", "*"),
    ]

    static func head(_ status: Int, _ headers: (String, String)...) -> HTTPAnswerHead {
        HTTPAnswerHead(status: status, headers: commonHeaders + headers)
    }

    /// Of an answer with messages of the services.
    static let messages = head(
        200, ("Content-Type", "application/json"), ("Grpc-Metadata-Content-Type", "application/grpc"))
    /// Of a stream without one.
    static let emptyStream = head(200, ("Content-Type", "application/json"))

    static func failed(_ status: RPCStatus) -> HTTPAnswerHead {
        head(httpStatus(status.code), ("Content-Type", "application/json"))
    }

    /// The body that tells of an error.
    static func body(_ status: RPCStatus) -> [UInt8] {
        var members: [(String, [UInt8])] = []
        if !status.message.isEmpty { members.append(("error", string(status.message))) }
        members.append(("code", Array("\(status.code.rawValue)".utf8)))
        if !status.message.isEmpty { members.append(("message", string(status.message))) }
        return object(members)
    }

    /// The line that ends a stream with an error.
    static func line(_ status: RPCStatus) -> [UInt8] {
        let http = httpStatus(status.code)
        var members = [("grpc_code", Array("\(status.code.rawValue)".utf8)), ("http_code", Array("\(http)".utf8))]
        if !status.message.isEmpty { members.append(("message", string(status.message))) }
        members.append(("http_status", string(reason(http))))
        return object([("error", object(members))])
    }

    /// A line of a stream.
    static func line(_ message: RawSpan, _ type: GatewayMessage) throws(JSONFailure) -> [UInt8] {
        var text = Array(#"{"result":"#.utf8)
        try append(message, type, to: &text)
        text += "}\n".utf8
        return text
    }

    static func append(_ message: RawSpan, _ type: GatewayMessage, to text: inout [UInt8]) throws(JSONFailure) {
        // A typed error does not pass through the closure.
        let result: Result<Void, JSONFailure> = message.withUnsafeBytes { bytes in
            do throws(JSONFailure) {
                try JSONWriter.append(bytes, type, to: &text)
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    private static func string(_ text: String) -> [UInt8] {
        var result: [UInt8] = []
        JSONWriter.append(string: text, to: &result)
        return result
    }

    private static func object(_ members: [(name: String, value: [UInt8])]) -> [UInt8] {
        var text: [UInt8] = [UInt8(ascii: "{")]
        for (index, member) in members.enumerated() {
            if index > 0 { text.append(UInt8(ascii: ",")) }
            text += "\"\(member.name)\":".utf8
            text += member.value
        }
        text.append(UInt8(ascii: "}"))
        return text
    }

    private static func httpStatus(_ code: RPCStatus.Code) -> Int {
        switch code {
        case .ok: 200
        case .cancelled: 408
        case .invalidArgument, .failedPrecondition, .outOfRange: 400
        case .deadlineExceeded: 504
        case .notFound: 404
        case .alreadyExists, .aborted: 409
        case .permissionDenied: 403
        case .unauthenticated: 401
        case .resourceExhausted: 429
        case .unimplemented: 501
        case .unavailable: 503
        case .unknown, .internal, .dataLoss: 500
        }
    }

    private static func reason(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 429: "Too Many Requests"
        case 501: "Not Implemented"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        default: "Internal Server Error"
        }
    }
}

extension HTTPExchange {
    /// Answers with a line of plain text, as Go's servers tell of errors.
    func refuse(_ status: Int, _ text: String, _ headers: (String, String)...) {
        var head = GatewayAnswers.head(
            status, ("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))
        head.headers += headers
        respond(head, body: Array((text + "\n").utf8))
    }

    /// Answers a call of the gateway with an error.
    func fail(_ status: RPCStatus) {
        respond(GatewayAnswers.failed(status), body: GatewayAnswers.body(status))
    }
}
