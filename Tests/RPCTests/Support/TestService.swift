import RPC

/// What the tests ask for.
struct TestService: HTTPService {
    static let largeBytes = 1 << 20

    let heard: Box<String>

    func webSocketHeaders(for exchange: HTTPExchange) -> [(String, String)]? { nil }

    func begin(_ exchange: HTTPExchange) -> any HTTPRequestHandler {
        defer { if ["/large", "/huge"].contains(exchange.path) { heard.add(exchange.path) } }
        return TestRequest(exchange, heard)
    }
}

private final class TestRequest: HTTPRequestHandler, @unchecked Sendable {
    // Unchecked: touched on the event loop only.

    private let exchange: HTTPExchange
    private let heard: Box<String>
    private var body: [UInt8] = []

    init(_ exchange: HTTPExchange, _ heard: Box<String>) {
        self.exchange = exchange
        self.heard = heard
        if exchange.path == "/refuse" || exchange.path == "/" { respond(404, []) }
        if exchange.path == "/large" { respond(200, [UInt8](repeating: 0x78, count: TestService.largeBytes)) }
        if exchange.path == "/huge" { respond(200, [UInt8](repeating: 0x78, count: 32 * TestService.largeBytes)) }
        if exchange.path == "/stream" { exchange.start(HTTPAnswerHead(status: 200, headers: [])) }
    }

    var heldBytes: Int { body.count }
    var mayRead: Bool { true }
    var isMidMessage: Bool { true }

    func onBody(_ bytes: RawSpan) {
        let piece = bytes.withUnsafeBytes { Array($0) }
        if exchange.path == "/stream" {
            exchange.send(Array("<".utf8) + piece + Array(">".utf8))
        } else {
            body += piece
        }
    }

    func onEnd() {
        switch exchange.path {
        case "/echo": respond(200, body)
        case "/stream": exchange.finish()
        case "/wait": heard.add("waits")
        case "/call": call()
        default: respond(404, [])
        }
    }

    private func call() {
        do {
            guard let client = try exchange.makeClient() else { return }
            client.start(client.method("/test.Echo/Unary"), body) { [self] result in
                switch result {
                case .success(let bytes): respond(200, bytes)
                case .failure(let status): respond(500, Array("\(status)".utf8))
                }
            }
        } catch {
            respond(500, Array("\(error)".utf8))
        }
    }

    private func respond(_ status: Int, _ body: [UInt8]) {
        exchange.respond(HTTPAnswerHead(status: status, headers: []), body: body)
    }

    func onWritable() {}
    func onGone() { heard.add("gone") }
}
