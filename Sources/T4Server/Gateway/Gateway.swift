import RPC

/// The JSON gateway: the services over HTTP/1, one path for each method.
///
/// Calls go through a client of this same server, one for each connection: rights, limits and errors are those of gRPC.
/// The certificate of an HTTP/1 client is not seen there, so that nobody is a user by it.
struct Gateway: Sendable {
    /// A method and what its messages are.
    struct Route: Sendable {
        let path: String
        let streaming: Method.Streaming
        let request: GatewayMessage
        let response: GatewayMessage
    }

    /// etcd 3.5 still answers to the older prefix.
    private static let prefixes = ["/v3/", "/v3beta/"]

    /// Largest body of a call, and largest message in a stream of them: base64 and names take their room.
    let bodySizeMax: Int
    private let routes: [String: Route]

    init(messageSizeMax: Int) {
        bodySizeMax = 2 * messageSizeMax + 64 * 1024
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

    /// Whether the path belongs to the gateway.
    static func owns(_ path: String) -> Bool { prefixes.contains { path.hasPrefix($0) } }

    func begin(_ exchange: HTTPExchange) -> any HTTPRequestHandler {
        let prefix = Self.prefixes.first { exchange.path.hasPrefix($0) } ?? ""
        guard let route = routes[String(exchange.path.dropFirst(prefix.count))] else {
            exchange.refuse(404, "Not Found")
            return UnwantedBody()
        }
        guard exchange.method == "POST" else {
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
        return switch route.streaming {
        case .none: GatewayUnary(exchange, call)
        case .answers: GatewayStream(exchange, call, takesMany: false)
        case .both: GatewayStream(exchange, call, takesMany: true)
        }
    }
}

/// What all kinds of calls have.
struct GatewayCall {
    let route: Gateway.Route
    let options: GatewayOptions
    let bodySizeMax: Int

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

    init(_ exchange: HTTPExchange) throws(RPCStatus) {
        if let value = exchange.header("Authorization").first { metadata.append(("authorization", value)) }
        for key in Self.metadataKeys {
            if let value = exchange.header(Self.metadataPrefix + key).first { metadata.append((key, value)) }
        }
        guard let text = exchange.header("Grpc-Timeout").first, !text.isEmpty else { return }
        guard let timeout = Self.duration(text) else {
            throw RPCStatus(.invalidArgument, "invalid grpc-timeout: \(text)")
        }
        guard timeout > .zero else { throw RPCStatus(.deadlineExceeded, "context deadline exceeded") }
        self.timeout = timeout
    }

    /// Digits and a unit.
    private static func duration(_ text: String) -> Duration? {
        guard let unit = text.last, let amount = Int64(text.dropLast()) else { return nil }
        // Longer than anybody waits, so that no sum overflows.
        let capped = min(max(amount, -1), 100_000_000)
        return switch unit {
        case "H": .seconds(3600 * capped)
        case "M": .seconds(60 * capped)
        case "S": .seconds(capped)
        case "m": .milliseconds(amount)
        case "u": .microseconds(amount)
        case "n": .nanoseconds(amount)
        default: nil
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
