import RPC
import T4Core

/// All that is answered to HTTP/1 on the client port: the gateway, versions, health and metrics.
struct HTTPFrontend: HTTPService {
    let gateway: Gateway
    let health: HealthChecks
    let metrics: Metrics

    func begin(_ exchange: HTTPExchange) -> any HTTPRequestHandler {
        // As etcd, whatever the path: a browser asks before it lets a page of another origin ask.
        if exchange.method == "OPTIONS" {
            exchange.respond(GatewayAnswers.head(200), body: [])
            return UnwantedBody()
        }
        let asked = Self.withoutOldPrefix(exchange.pathBytes)
        if exchange.method != "CONNECT", exchange.path != "*", let location = PathCleaner(asked).location(exchange) {
            exchange.redirect(to: location)
        } else if asked.starts(with: Gateway.prefix.utf8) {
            return gateway.begin(exchange, path: String(decoding: asked, as: UTF8.self))
        } else {
            answer(exchange)
        }
        return UnwantedBody()
    }

    /// As with etcd, every path of the gateway takes WebSockets, also those that nothing is behind.
    func webSocketHeaders(for exchange: HTTPExchange) -> [(String, String)]? {
        let asked = Self.withoutOldPrefix(exchange.pathBytes)
        guard asked.starts(with: Gateway.prefix.utf8), PathCleaner(asked).location(exchange) == nil else { return nil }
        return WebSocketLogin.headers(exchange)
    }

    /// etcd 3.5 still answers to another name of the gateway's paths.
    private static func withoutOldPrefix(_ path: [UInt8]) -> [UInt8] {
        let old = "/v3beta/".utf8
        return path.starts(with: old) ? Array(Gateway.prefix.utf8) + path.dropFirst(old.count) : path
    }

    private func answer(_ exchange: HTTPExchange) {
        switch exchange.path {
        case "/version": version(exchange)
        case "/metrics": metrics.answer(exchange)
        case "/health":
            guard isGet(exchange) else { return }
            health.answerHealth(exchange)
        default:
            guard health.answers(exchange.path) else { return exchange.refuse(404, "404 page not found") }
            guard isGet(exchange) else { return }
            health.answerCheck(exchange)
        }
    }

    private func version(_ exchange: HTTPExchange) {
        guard isGet(exchange) else { return }
        let storage = SnapshotFile.storageVersion
        let text =
            #"{"etcdserver":"\#(MaintenanceService.etcdVersion)","etcdcluster":"\#(storage)","storage":"\#(storage)"}"#
        exchange.respond(GatewayAnswers.head(200, ("Content-Type", "application/json")), body: Array(text.utf8))
    }

    private func isGet(_ exchange: HTTPExchange) -> Bool {
        guard exchange.method != "GET" else { return true }
        exchange.refuse(405, "Method Not Allowed", ("Allow", "GET"))
        return false
    }
}
