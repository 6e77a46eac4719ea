import Foundation
import T4Conformance
import TestCertificates
import Testing

/// Goal: over HTTP t4 is etcd, byte for byte. Method: the same requests go to both, on fresh servers.
struct GatewayTests {
    @Test(arguments: RequestTable.names)
    func answersAsEtcd(_ name: String) async throws {
        let table = try RequestTable(named: name)
        try await Slots.servers.use {
            let subject = TestEnvironment.subject
            async let wanted = answers(table, of: .etcd)
            async let got = answers(table, of: subject)
            for ((step, wanted), (_, got)) in zip(try await wanted, try await got) where wanted != got {
                let text = SideBySide.columns(Self.text(wanted), Self.text(got))
                Issue.record("\(name):\(step)\n\(text)")
            }
        }
    }

    /// The same over HTTP/2, where there is TLS, asked by curl.
    @Test(arguments: RequestTable.names)
    func answersAsEtcdOverHTTP2(_ name: String) async throws {
        // A path of HTTP/2 is no whole URL, though etcd takes one.
        let table = try RequestTable(named: name).filtered { !$0.path.hasPrefix("http:") }
        try await TestCertificates.with { files in
            let secured = Secured(pair: try await files.makeServer(), authority: files.authority())
            try await Slots.servers.use {
                let subject = TestEnvironment.subject
                async let wanted = answers(table, of: .etcd, secured)
                async let got = answers(table, of: subject, secured)
                for ((step, wanted), (_, got)) in zip(try await wanted, try await got) {
                    #expect(wanted.allSatisfy { $0.statusLine.hasPrefix("HTTP/2 ") })
                    guard wanted != got else { continue }
                    Issue.record("\(name):\(step)\n\(SideBySide.columns(Self.text(wanted), Self.text(got)))")
                }
            }
        }
    }

    /// What TLS takes.
    private struct Secured {
        let pair: TestCertificates.Pair
        let authority: String

        func options(_ kind: ServerUnderTest.Kind) -> [String] {
            kind == .etcd
                ? ["--cert-file", pair.certificate, "--key-file", pair.key]
                : ["--client-tls-cert", pair.certificate, "--client-tls-key", pair.key]
        }
    }

    private static func text(_ answers: [ShownAnswer]) -> String {
        answers.map(\.description).joined(separator: "\n")
    }

    private func answers(
        _ table: RequestTable, of kind: ServerUnderTest.Kind, _ secured: Secured? = nil
    ) async throws -> [(step: String, shown: [ShownAnswer])] {
        try await withTemporaryDirectory { folder in
            let server = try await ServerUnderTest.startWithGateway(
                kind, dataDirectory: folder.appending(path: "d"), scheme: secured == nil ? "http" : "https",
                options: secured?.options(kind) ?? [])
            var answers: [(String, [ShownAnswer])] = []
            do {
                var side = try await WebSide(
                    server,
                    client: secured.map {
                        CurlClient(port: server.port, authority: $0.authority, isPatient: kind == .etcd)
                    })
                for step in table.steps { answers.append(("\(step)", try await side.perform(step))) }
            } catch {
                await server.crash()
                throw error
            }
            try await server.stop()
            return answers
        }
    }

    @Test func requestsAreThere() throws {
        #expect(RequestTable.names.count >= 8)
        #expect(try RequestTable(named: "json.requests").steps.count > 100)
    }

    /// The comparison must see each of its parts.
    @Test func differencesAreSeen() throws {
        let text = "HTTP/1.1 200 OK\r\nContent-Type: a\r\nDate: now\r\nContent-Length: 25\r\n\r\n"
        let one = ShownAnswer(try #require(WebAnswer(Array((text + #"{"member_id":"1","x":"2"}"#).utf8))))
        let same = text.replacing("now", with: "later") + #"{"member_id":"3","x":"2"}"#
        #expect(try one == ShownAnswer(#require(WebAnswer(Array(same.utf8)))))
        for (old, new) in [
            ("200", "201"), ("a\r\n", "b\r\n"), ("Content-Type", "Accept"), ("\"2\"", "\"3\""), (": 25", ": 26"),
            ("Content-Length: 25", "Transfer-Encoding: chunked"), ("HTTP", "HTTP/1.1 100 Continue\r\n\r\nHTTP"),
        ] {
            let other = (text + #"{"member_id":"1","x":"2"}"#).replacing(old, with: new)
            #expect(try one != ShownAnswer(#require(WebAnswer(Array(other.utf8)))), "\(old)")
        }
        let both = Array((text + #"{"member_id":"1","x":"2"}"# + text).utf8)
        #expect(WebAnswer.all(both, methods: ["POST", "HEAD"]).map(\.isWhole) == [true, true])
        #expect(WebAnswer.all(both, methods: ["POST", "POST"]).map(\.isWhole) == [true, false])
    }

    /// What is printed of a failure can be kept.
    @Test func rawStepsAreReadAsTheyArePrinted() throws {
        let step = WebStep(["a \"\\\r\n\u{0}\u{7f}\u{ff}{token b}", "GET x"], lineCount: 3)
        #expect(try WebStep(Substring(step.description)) == step)
        #expect(try WebStep(#""a" "b""#).description == #""a" "b""#)
        #expect(step.bytes { _ in "t" } == Array("a \"\\\r\n\0".utf8) + [0x7f, 0xff] + Array("tGET x".utf8))
    }
}

extension ServerUnderTest {
    /// Starts a server whose gateway works: etcd's dials the address it was told, so that its port must be chosen here.
    static func startWithGateway(
        _ kind: Kind, dataDirectory: URL, scheme: String = "http", options: [String] = []
    ) async throws -> ServerUnderTest {
        guard kind == .etcd else { return try await start(kind, dataDirectory: dataDirectory, options: options) }
        var tries = 0
        while true {
            // Below the ports that the system gives away.
            let url = "\(scheme)://127.0.0.1:\(Int.random(in: 10_000..<30_000))"
            do {
                return try await start(
                    kind, dataDirectory: dataDirectory.appending(path: "\(tries)"),
                    options: [
                        "--enable-grpc-gateway=true", "--listen-client-urls", url, "--advertise-client-urls", url,
                    ] + options)
            } catch is StartFailed where tries < 20 {
                tries += 1
            }
        }
    }
}
