import RawHTTP2
import T4Conformance
import Testing

// What no proper client does over HTTP/1. Where it is sane, t4 answers as Go's server, which is etcd's; it is stricter where
// two servers in a row might understand two different requests.

extension Attack {
    /// A request that must never be answered: whatever hides it ends the connection.
    private static let hidden = "GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
    private static let put = #"{"key":"YQ==","value":"MQ=="}"#

    private static func request(
        _ headers: String, host: String = "Host: x\r\n", line: String = "POST /v3/kv/put HTTP/1.1", body: String = put
    ) -> String { "\(line)\r\n\(host)\(headers)\r\n\(body)" }

    /// What is refused, and how.
    struct Refused: Sendable {
        /// The status line and the body are those of etcd 3.5.1.
        var status: String
        var text: String?
        var bytes: String

        init(_ status: String, _ text: String? = nil, _ bytes: String) {
            self.status = status
            self.text = text
            self.bytes = bytes
        }
    }

    private static let badRequest = "400 Bad Request"

    /// Refused as by etcd, to the letter.
    static let refusedAsByEtcd: [Refused] =
        [
            request("Content-Length: \(put.utf8.count)\r\nContent-Length: 3\r\n"), request("Content-Length: x\r\n"),
            request("Content-Length: -1\r\n"), request("Content-Length: +29\r\n"),
            request("Content-Length: 29, 29\r\n"),
            request("Content-Length: 99999999999999999999\r\n"), request("NoColon\r\n"),
            request("", line: "POST /v3/%zz HTTP/1.1"), request("", line: "GET version HTTP/1.1"),
        ].map { Refused(badRequest, badRequest, $0) }
        + [
            request("Transfer-Encoding: gzip\r\n"), request("Transfer-Encoding: identity\r\n"),
            request("Transfer-Encoding: gzip, chunked\r\n", body: "0\r\n\r\n"),
            request("Transfer-Encoding:\r\n"), request("Transfer-Encoding: chunked;q=1\r\n", body: "0\r\n\r\n"),
        ].map { Refused("501 Not Implemented", "Unsupported transfer encoding", $0) }
        + [
            ("missing required Host header", ""), ("too many Host headers", "Host: a\r\nHost: b\r\n"),
            ("malformed Host header", "Host: a b\r\n"), ("malformed Host header", "Host: a/b\r\n"),
            ("malformed Host header", "Host: a<b\r\n"), ("malformed Host header", "Host: a\"b\r\n"),
        ].map { text, host in
            Refused("\(badRequest): \(text)", "\(badRequest): \(text)", request("Content-Length: 29\r\n", host: host))
        }
        + [
            Refused("417 Expectation Failed", "", request("Expect: miracles\r\nContent-Length: 29\r\n")),
            Refused(
                "431 Request Header Fields Too Large", "431 Request Header Fields Too Large",
                request("X-A: \(String(repeating: "a", count: 2_000_000))\r\n")),
        ]

    /// Refused where etcd says the same in more words, or takes it.
    private static let refusedMore: [Refused] =
        [
            // Where does it end? Go believes the chunks, others the length.
            request("Content-Length: 29\r\nTransfer-Encoding: chunked\r\n", body: "0\r\n\r\n"),
            request("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", body: "0\r\n\r\n"),
            request("Content-Length: 29\r\nContent-Length: 29\r\n"),
            request("Transfer-Encoding: chunked, chunked\r\n", body: "0\r\n\r\n"),
            request("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", body: "0\r\n\r\n"),
            request("Transfer-Encoding: chunked\r\n", line: "POST /v3/kv/put HTTP/1.0", body: "0\r\n\r\n"),
            // Lines that not everybody takes for lines.
            request("X-A: b\r\n c\r\nNoColon\r\n"), request("", host: " Host: x\r\n"),
            "GET /version HTTP/1.1\nHost: x\n\n",
            request("X-A: b\rc\r\n"), request("X-A: b\r"), request("X-A : b\r\n"), request("Content-Length : 29\r\n"),
            request("X(A: b\r\n"), request("X\u{e4}: b\r\n"), request(": b\r\n"), request("X-A: b\0c\r\n"),
            request("X-A: b\u{1}c\r\n"), request("\0: b\r\n"),
            // Chunks that are none.
            request("Transfer-Encoding: chunked\r\n", body: "zz\r\n{}\r\n0\r\n\r\n"),
            request("Transfer-Encoding: chunked\r\n", body: "-2\r\n{}\r\n0\r\n\r\n"),
            request("Transfer-Encoding: chunked\r\n", body: "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
            request("Transfer-Encoding: chunked\r\n", body: "2\r\n{}XX0\r\n\r\n"),
            // Methods and versions that there are not.
            request("", line: "F(OO / HTTP/1.1"), request("", line: "GETT /version HTTP/1.1"),
            request("", line: "GET /version HTTP/9.9"), request("", line: "GET /version"), request("", line: "GET"),
            request("", line: "GET /ver sion HTTP/1.1"), "\r\n\r\nGET /version HTTP/1.1\r\n\r\n",
        ].map { Refused(badRequest, nil, $0) }

    private static func bytes(_ text: String) -> [UInt8] {
        text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
    }

    private static func checkRefused(_ refused: Refused, _ port: Int) async throws {
        let client = WebClient(port: port)
        let shown = refused.bytes.prefix(100)
        let got = try await client.answers(to: bytes(refused.bytes + hidden), methods: ["POST"])
        // The body of a call may have been waited for, and its chunks are part of it.
        #expect(got.count <= 1, "\(shown): \(got)")
        guard let answer = got.first else {
            #expect(refused.text == nil, "no answer to \(shown)")
            return
        }
        #expect(answer.statusLine.dropFirst("HTTP/1.1 ".count).hasPrefix(refused.status), "\(shown): \(answer)")
        if let text = refused.text { #expect(answer.body == text, "\(shown)") }
        #expect(answer.headers["connection"] == "close" && answer.isWhole, "\(shown): \(answer)")
    }

    private static let short = ["--request-timeout", "1s", "--handshake-timeout", "10s"]

    static let http1 = [
        Attack(name: "HTTP/1 requests that are refused") { port in
            for refused in refusedAsByEtcd + refusedMore { try await checkRefused(refused, port) }
            // Nobody has put anything by them.
            let found = try await WebClient(port: port).answer("POST", "/v3/kv/range", #"{"key":"YQ=="}"#)
            #expect(!found.body.contains("kvs"), "\(found.body)")
        },
        Attack(name: "an HTTP/1 URL without an end") { port in
            let peer = try await RawPeer(port: port)
            _ = await peer.flood(1) { _ in bytes("GET /" + String(repeating: "a", count: 2_000_000)) }
            try await peer.drainToEnd()
        },
        Attack(name: "HTTP/1 header fields without an end") { port in
            let peer = try await RawPeer(port: port)
            _ = await peer.flood(30_000) { bytes($0 == 0 ? "GET / HTTP/1.1\r\n" : "X-\($0): a\r\n") }
            try await peer.drainToEnd()
        },
        Attack(name: "HTTP/1 requests that stop", options: short) { port in
            for begin in [
                "POST /v3/kv/put HT", "POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nX-A: a",
                request("Content-Length: 100\r\n"), request("Transfer-Encoding: chunked\r\n", body: "100\r\nabc"),
                request("Content-Length: 100\r\n", line: "POST /v3/watch HTTP/1.1", body: #"{"create_request":{"#),
            ] {
                let peer = try await RawPeer(port: port)
                try await peer.write(begin)
                try await peer.drainToEnd()
            }
        },
        // One byte between two requests of somebody else; the request never gets to its end.
        Attack(name: "HTTP/1 requests byte by byte", options: short) { port in
            for begin in [
                "GET /version HTTP/1.1\r\nHost: x\r\nX-A: ", request("Content-Length: 1000000\r\n", body: ""),
            ] {
                let peer = try await RawPeer(port: port)
                try await peer.write(begin)
                repeat {
                    _ = await peer.flood(1) { _ in [0x20] }
                    _ = try await WebClient(port: port).answer("GET", "/health")
                } while await peer.skipAvailable()
            }
        },
        Attack(name: "HTTP/1 bodies over the limit") { port in
            let length = try await RawPeer(port: port)
            try await length.write(request("Content-Length: 100000000000\r\n", body: #"{"key":""#))
            _ = await length.flood(200) { _ in [UInt8](repeating: 0x41, count: 100_000) }
            try await length.drainToEnd()
            for path in ["kv/put", "watch", "lease/keepalive", "nope"] {
                let peer = try await RawPeer(port: port)
                let line = "POST /v3/\(path) HTTP/1.1"
                try await peer.write(
                    request("Transfer-Encoding: chunked\r\n", line: line, body: "5\r\n{\"a\":\r\n1\r\n\"\r\n"))
                let piece = bytes("10000\r\n" + String(repeating: "a", count: 65_536) + "\r\n")
                _ = await peer.flood(300) { _ in piece }
                try await peer.drainToEnd()
            }
        },
        Attack(name: "garbage after HTTP/1 requests") { port in
            var random = SeededGenerator(seed: 7)
            for _ in 0..<50 {
                let garbage = (0..<5000).map { _ in UInt8.random(in: 0...255, using: &random) }
                let peer = try await RawPeer(port: port)
                _ = await peer.flood(1) { _ in bytes(request("Content-Length: 2\r\n", body: "{}")) + garbage }
                await peer.shutDownSending()
                try await peer.drainToEnd()
            }
        },
        // The next one is not begun before the answer is read, and what comes meanwhile is not read.
        Attack(name: "HTTP/1 requests whose answers are not read") { port in
            let value = String(repeating: "A", count: 1_000_000)
            _ = try await WebClient(port: port).answer("POST", "/v3/kv/put", #"{"key":"YmlnZw==","value":"\#(value)"}"#)
            let peer = try await RawPeer(port: port)
            let range = request(
                "Content-Length: 18\r\n", line: "POST /v3/kv/range HTTP/1.1", body: #"{"key":"YmlnZw=="}"#)
            // As much as fits into the buffers of the system.
            try await peer.write(String(repeating: range, count: 300))
            for _ in 0..<20 { _ = try await WebClient(port: port).answer("GET", "/health") }
        },
        Attack(name: "HTTP/1 watches that are not read") { port in
            let body = #"{"create_request":{"key":"dw==","start_revision":1}}"#
            var peers: [RawPeer] = []
            for _ in 0..<20 {
                let peer = try await RawPeer(port: port)
                try await peer.write(
                    request("Content-Length: \(body.utf8.count)\r\n", line: "POST /v3/watch HTTP/1.1", body: body))
                peers.append(peer)
            }
            // More than the limit on one connection, whose last answer counts in part.
            let value = String(repeating: "A", count: 80_000)
            for _ in 0..<80 {
                let put = #"{"key":"dw==","value":"\#(value)"}"#
                #expect(try await WebClient(port: port).answer("POST", "/v3/kv/put", put).status == 200)
            }
        },
        Attack(name: "HTTP/1 requests without number") { port in
            let peer = try await RawPeer(port: port)
            let health = bytes("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            for _ in 0..<20 {
                #expect(await !peer.flood(1000) { _ in health })
                _ = await peer.skipAvailable()
            }
            try await peer.write("GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            try await peer.drainToEnd()
        },
    ]
}
