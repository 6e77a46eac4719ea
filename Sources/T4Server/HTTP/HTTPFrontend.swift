import RPC
import T4Core

/// All that is answered on the client port to what is no gRPC: the gateway, versions, health and metrics.
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
        let asked = AskedPath(exchange)
        if exchange.method != "CONNECT", exchange.path != "*", let location = asked.location {
            exchange.redirect(to: location)
        } else if asked.isGateway {
            return gateway.begin(exchange, path: String(decoding: asked.bytes, as: UTF8.self))
        } else {
            answer(exchange)
        }
        return UnwantedBody()
    }

    /// As with etcd, every path of the gateway takes WebSockets, also those that nothing is behind.
    func webSocketHeaders(for exchange: HTTPExchange) -> [(String, String)]? {
        let asked = AskedPath(exchange)
        return asked.isGateway && asked.location == nil ? WebSocketLogin.headers(exchange) : nil
    }

    /// The path of a request, as one of the gateway's where it has the old name that etcd 3.5 still answers to.
    private struct AskedPath {
        let bytes: [UInt8]
        /// Where the client should rather go; nil if it is right here.
        let location: String?
        var isGateway: Bool { bytes.starts(with: Gateway.prefix.utf8) }

        init(_ exchange: HTTPExchange) {
            let (path, old) = (exchange.pathBytes, "/v3beta/".utf8)
            bytes = path.starts(with: old) ? Array(Gateway.prefix.utf8) + path.dropFirst(old.count) : path
            location = PathCleaner(bytes).location(exchange)
        }
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
