import RawHTTP2
import Testing

@testable import RPC

/// Goal: WebSockets as RFC 6455 has them, for good clients and bad ones. Method: frames written by hand.
struct WebSocketTests {
    private typealias Opcode = RawWebSocket.Opcode

    private func with(_ body: (RPCServer, Box<String>) async throws -> Void) async throws {
        let heard = Box<String>()
        var configuration = RPCServerConfiguration.patient
        configuration.messageSizeMax = 10_000
        configuration.http = EchoService(heard: heard)
        try await withServer(configuration: configuration) { _ in
        } _: { server in
            try await body(server, heard)
        }
    }

    private func open(_ server: RPCServer) async throws -> RawWebSocket {
        let socket = try await RawWebSocket(port: server.port, "/echo")
        #expect(socket.head.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"))
        return socket
    }

    private func closing(_ code: UInt16) -> RawWebSocket.Frame {
        RawWebSocket.Frame(Opcode.close, [UInt8(code >> 8), UInt8(code & 0xff)])
    }

    @Test func theHandshakeIsAnswered() async throws {
        try await with { server, _ in
            let lines = Set(try await open(server).head.split(separator: "\r\n").map { $0.lowercased() })
            #expect(lines.isSuperset(of: ["upgrade: websocket", "connection: upgrade", "x-chosen: yes"]))
            #expect(lines.contains("sec-websocket-accept: \(RawWebSocket.accept)".lowercased()))
        }
    }

    /// The service answers them like any other request.
    @Test func whatIsNoHandshakeGetsNoWebSocket() async throws {
        try await with { server, _ in
            let good = RawWebSocket.handshake
            for (path, handshake, method) in [
                ("/refuse", good, "GET"), ("/refuse", "", "GET"),
                ("/echo", good.replacing("13", with: "12"), "GET"),
                ("/echo", good.replacing("Key", with: "Kex"), "GET"), ("/echo", good, "POST"),
            ] {
                let socket = try await RawWebSocket(port: server.port, path, handshake: handshake, method: method)
                #expect(socket.head.hasPrefix("HTTP/1.1 404"), "\(path) \(method)")
            }
        }
    }

    @Test func messagesAreLinesOfTheBody() async throws {
        try await with { server, _ in
            var socket = try await open(server)
            try await socket.send("one")
            #expect(await socket.next()?.text == "one")
            // Pieces come as they are, with a ping in between.
            try await socket.peer.write(RawWebSocket.frame(Opcode.binary, Array("a".utf8), isLast: false))
            #expect(await socket.next()?.text == "a")
            try await socket.peer.write(RawWebSocket.frame(Opcode.ping, [7, 8]))
            #expect(await socket.next() == RawWebSocket.Frame(Opcode.pong, [7, 8]))
            try await socket.peer.write(RawWebSocket.frame(Opcode.continuation, Array("b".utf8)))
            #expect(await socket.next()?.text == "b")
            let large = String(repeating: "x", count: 70_000)
            try await socket.send(large)
            #expect(await socket.next()?.text == large)
        }
    }

    @Test func bothSidesClose() async throws {
        try await with { server, heard in
            var socket = try await open(server)
            try await socket.peer.write(RawWebSocket.frame(Opcode.close, [0x0f, 0xa1]))
            #expect(await socket.next() == closing(4001))
            #expect(await socket.next() == nil)
            #expect(await heard.wait() == ["gone"])
            socket = try await RawWebSocket(port: server.port, "/echo?short")
            try await socket.send("last")
            #expect(await socket.next()?.text == "last")
            #expect(await socket.next() == closing(1000))
            #expect(await socket.next() == nil)
        }
    }

    @Test(arguments: [
        RawWebSocket.frame(Opcode.text, [1], isMasked: false), RawWebSocket.frame(Opcode.continuation, [1]),
        RawWebSocket.frame(Opcode.text, [1], isLast: false) + RawWebSocket.frame(Opcode.text, [1]),
        RawWebSocket.frame(0x40 | Opcode.text, [1]), RawWebSocket.frame(3, [1]),
        RawWebSocket.frame(Opcode.ping, [1], isLast: false),
    ])
    func whatIsNoProtocolEndsTheConnection(_ bytes: [UInt8]) async throws {
        try await with { server, heard in
            var socket = try await open(server)
            try await socket.peer.write(bytes)
            var last = await socket.next()
            while let next = last, next.opcode == Opcode.text { last = await socket.next() }
            #expect(last == closing(1002))
            #expect(await socket.next() == nil)
            #expect(await heard.wait() == ["gone"])
        }
    }

    @Test func aFrameMayBeAsLargeAsABody() async throws {
        try await with { server, heard in
            var socket = try await open(server)
            let most = 2 * 10_000 + 64 * 1024
            try await socket.peer.write(RawWebSocket.frame(Opcode.text, [UInt8](repeating: 0x78, count: most)))
            #expect(await socket.next()?.payload.count == most)
            _ = await socket.peer.flood(1) { _ in
                RawWebSocket.frame(Opcode.text, [UInt8](repeating: 0x78, count: most + 1))
            }
            #expect(await socket.next() == closing(1009))
            #expect(await heard.wait() == ["gone"])
        }
    }

    /// What comes with the handshake would be lost.
    @Test func nobodySpeaksBeforeTheHandshakeIsAnswered() async throws {
        try await with { server, _ in
            let peer = try await RawPeer(port: server.port)
            let head = "GET /echo HTTP/1.1\r\nHost: x\r\n" + RawWebSocket.handshake + "\r\n"
            try await peer.write(Array(head.utf8) + RawWebSocket.frame(Opcode.text, [1]))
            _ = await peer.readToEnd()
        }
    }
}

/// Sends back what it gets, to `/refuse` and without a WebSocket nothing.
private struct EchoService: HTTPService {
    let heard: Box<String>

    func webSocketHeaders(for exchange: HTTPExchange) -> [(String, String)]? {
        exchange.path == "/echo" ? [("X-Chosen", "yes")] : nil
    }

    func begin(_ exchange: HTTPExchange) -> any HTTPRequestHandler {
        if exchange.isWebSocket {
            exchange.start(HTTPAnswerHead(status: 200, headers: []))
        } else {
            exchange.respond(HTTPAnswerHead(status: 404, headers: []), body: [])
        }
        return Echo(exchange, heard)
    }

    private final class Echo: HTTPRequestHandler {
        private let exchange: HTTPExchange
        private let heard: Box<String>

        init(_ exchange: HTTPExchange, _ heard: Box<String>) { (self.exchange, self.heard) = (exchange, heard) }

        var heldBytes: Int { 0 }
        var mayRead: Bool { true }
        var isMidMessage: Bool { false }

        func onBody(_ bytes: RawSpan) {
            exchange.send(bytes.withUnsafeBytes { Array($0) })
            if exchange.query == "short" { exchange.finish() }
        }

        func onEnd() {}
        func onWritable() {}
        func onGone() { heard.add("gone") }
    }
}
