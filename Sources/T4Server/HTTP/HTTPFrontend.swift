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
        if Gateway.owns(exchange.path) { return gateway.begin(exchange) }
        answer(exchange)
        return UnwantedBody()
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
