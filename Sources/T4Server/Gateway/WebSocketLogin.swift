import RPC

/// Who asks through a WebSocket: pages cannot set headers there, but protocols and cookies. As etcd's gateway, which takes it from
/// `Sec-WebSocket-Protocol: Bearer, TOKEN`, and rather from the cookie `token`.
enum WebSocketLogin {
    private static let scheme = "Bearer"

    /// What the answer has for the client: of the protocols it offers, the one that carries a token.
    static func headers(_ exchange: HTTPExchange) -> [(String, String)] {
        protocols(exchange).hasPrefix(scheme) ? [("Sec-WebSocket-Protocol", scheme)] : []
    }

    /// The metadata of the call.
    static func metadata(_ exchange: HTTPExchange) -> [(String, String)] {
        if let token = cookie(exchange) { return [("authorization", "\(scheme) \(token)")] }
        guard let mark = protocols(exchange).firstRange(of: scheme + ",") else { return [] }
        let token = protocols(exchange)[mark.upperBound...].drop { $0 == " " }
        return [("authorization", "\(scheme) \(token)")]
    }

    private static func protocols(_ exchange: HTTPExchange) -> String {
        exchange.header("Sec-WebSocket-Protocol").first ?? ""
    }

    private static func cookie(_ exchange: HTTPExchange) -> Substring? {
        for part in exchange.header("Cookie").flatMap({ $0.split(separator: ";") }) {
            let pair = part.drop { $0 == " " }.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 2, pair[0] == "token" { return pair[1] }
        }
        return nil
    }
}
