import RPC

/// The JSON gateway: the services with JSON, one path for each method.
///
/// Calls go through a client of this same server, one for each connection: rights, limits and errors are those of gRPC.
/// The certificate of the client is not seen there, so that nobody is a user by it.
struct Gateway: Sendable {
    /// A method and what its messages are.
    struct Route: Sendable {
        let path: String
        let streaming: Method.Streaming
        let request: GatewayMessage
        let response: GatewayMessage
    }

    /// What all its paths begin with.
    static let prefix = "/v3/"

    /// Largest body of a call, and largest message in a stream of them, in bytes.
    let bodySizeMax: Int
    private let routes: [String: Route]

    init(bodySizeMax: Int) {
        self.bodySizeMax = bodySizeMax
        var routes: [String: Route] = [:]
        for method in Method.all {
            guard let types = GatewaySchema.etcd.methods[method.path] else { continue }
            for path in method.gatewayPaths {
                routes[path] = Route(
                    path: method.path, streaming: method.streaming, request: types.request, response: types.response)
            }
        }
        self.routes = routes
    }

    /// - Parameter path: Begins with `prefix`.
    func begin(_ exchange: HTTPExchange, path: String) -> any HTTPRequestHandler {
        // Everything was right about the request but what makes it one for a WebSocket.
        if exchange.asksForWebSocket, !exchange.isWebSocket {
            let isGet = exchange.method == "GET"
            exchange.refuse(
                isGet ? 400 : 405, isGet ? "Bad Request" : "Method Not Allowed", ("Sec-Websocket-Version", "13"))
            return UnwantedBody()
        }
        guard let route = routes[Self.name(path.dropFirst(Self.prefix.count))] else {
            exchange.refuse(404, "Not Found")
            return UnwantedBody()
        }
        guard exchange.method == "POST" || exchange.isWebSocket else {
            exchange.refuse(405, "Method Not Allowed")
            return UnwantedBody()
        }
        let call: GatewayCall
        do {
            call = GatewayCall(route: route, options: try GatewayOptions(exchange), bodySizeMax: bodySizeMax)
        } catch {
            exchange.fail(error)
            return UnwantedBody()
        }
        switch route.streaming {
        case .none: return GatewayUnary(exchange, call)
        case .answers: return GatewayStream(exchange, call, takesMany: false)
        case .both:
            // Such a call begins before its first message is read.
            guard !call.options.isOverdue else {
                exchange.fail(GatewayCall.overdue)
                return UnwantedBody()
            }
            return GatewayStream(exchange, call, takesMany: true)
        }
    }

    /// What stands behind a colon in the last part is a verb, of which there are none: it may be empty.
    private static func name(_ path: Substring) -> String {
        let last = path.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        return String(last.hasSuffix(":") && last.count > 1 ? path.dropLast() : path)
    }
}

/// What all kinds of calls have.
struct GatewayCall {
    let route: Gateway.Route
    let options: GatewayOptions
    let bodySizeMax: Int

    static let overdue = RPCStatus(.deadlineExceeded, "context deadline exceeded")

    var tooLarge: RPCStatus {
        RPCStatus(.resourceExhausted, "t4: the request body is larger than \(bodySizeMax) bytes")
    }
}

/// What headers say about a call.
struct GatewayOptions {
    private static let metadataPrefix = "Grpc-Metadata-"
    /// What the services read.
    private static let metadataKeys = ["token", "authorization", "hasleader", "client-api-version"]

    var metadata: [(String, String)] = []
    var timeout: Duration?
    /// There is no time for the call.
    var isOverdue: Bool { timeout.map { $0 < .zero } ?? false }

    init(_ exchange: HTTPExchange) throws(RPCStatus) {
        guard !exchange.isWebSocket else {
            metadata = WebSocketLogin.metadata(exchange)
            return
        }
        if let value = exchange.header("Authorization").first { metadata.append(("authorization", value)) }
        for key in Self.metadataKeys {
            if let value = exchange.header(Self.metadataPrefix + key).first { metadata.append((key, value)) }
        }
        if let text = exchange.header("Grpc-Timeout").first, !text.isEmpty {
            guard let nanoseconds = Self.nanoseconds(text) else {
                throw RPCStatus(.invalidArgument, "invalid grpc-timeout: \(text)")
            }
            if nanoseconds != 0 { timeout = .nanoseconds(nanoseconds) }
        }
        try Self.checkBinary(exchange)
    }

    /// Digits and a unit. What is too much for 64 bits comes around, as with etcd.
    private static func nanoseconds(_ text: String) -> Int64? {
        guard let unit = text.last, let amount = Int64(text.dropLast()) else { return nil }
        return switch unit {
        case "H": amount &* 3_600_000_000_000
        case "M": amount &* 60_000_000_000
        case "S": amount &* 1_000_000_000
        case "m": amount &* 1_000_000
        case "u": amount &* 1000
        case "n": amount
        default: nil
        }
    }

    /// Metadata whose name ends so is base64, needed or not.
    private static func checkBinary(_ exchange: HTTPExchange) throws(RPCStatus) {
        for (name, value) in exchange.headerFields {
            let lower = name.lowercased()
            guard lower.hasPrefix(metadataPrefix.lowercased()), lower.hasSuffix("-bin") else { continue }
            let padding = value.utf8.count % 4 == 0 ? 0 : (4 - value.utf8.count % 4)
            do throws(JSONFailure) {
                _ = try Base64.decode(Array(value.utf8) + [UInt8](repeating: UInt8(ascii: "="), count: padding))
            } catch {
                let shown = lower.split(separator: "-", omittingEmptySubsequences: false)
                    .map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined(separator: "-")
                throw RPCStatus(.invalidArgument, "invalid binary header \(shown): \(error.text)")
            }
        }
    }
}

/// Takes the body of a request that was answered by its head.
final class UnwantedBody: HTTPRequestHandler {
    var heldBytes: Int { 0 }
    var mayRead: Bool { true }
    var isMidMessage: Bool { false }

    func onBody(_ bytes: RawSpan) {}
    func onEnd() {}
    func onWritable() {}
    func onGone() {}
}
