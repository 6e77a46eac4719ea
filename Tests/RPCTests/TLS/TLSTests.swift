import Foundation
import NIOSSL
import T4Conformance
import TestCertificates
import Testing

@testable import RPC

/// Goal: calls over TLS work as those without, and nobody gets in who should not. Method: certificates of several CAs, our
/// own client, and one that speaks bare TLS.
@Suite struct TLSTests {
    private static func addMethods(_ router: inout RPCRouter) {
        router.unary("/test.Name/Get") { call, _ in
            call.respond(call.clientCommonName.map { [1] + $0 } ?? [0])
        }
    }

    /// What the client's certificate is called at the server; nil where it looks at none.
    private func name(_ client: RPCClient) async throws -> String? {
        let answer = try await client.unary("/test.Name/Get", [])
        return answer[0] == 1 ? String(decoding: answer.dropFirst(), as: UTF8.self) : nil
    }

    @Test func callsOfEverySize() async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            try await withTLSServer(pair) { server in
                let client = try await connect(server, trusting: files.authority())
                for size in [0, 1, 16_384, 70_000, 2_000_000] {
                    let message = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
                    #expect(try await client.unary("/test.Echo/Unary", message) == message)
                }
                try await withThrowingTaskGroup(of: Bool.self) { group in
                    for number in 0..<200 {
                        group.addTask {
                            let message = [UInt8](repeating: UInt8(number), count: 1 + number * 500)
                            return try await client.unary("/test.Echo/Unary", message) == message
                        }
                    }
                    for try await isSame in group { #expect(isSame) }
                }
                await client.close()
            }
        }
    }

    /// A stream of more than all windows and buffers hold.
    @Test func aLongStream() async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            let (count, size) = (600, 64 * 1024)
            try await withTLSServer(pair) { router in
                router.stream("/test.Long/Stream") { call in
                    var sent = 0
                    func send() {
                        while sent < count, call.isWritable {
                            call.send([UInt8](repeating: UInt8(truncatingIfNeeded: sent), count: size))
                            sent += 1
                        }
                        if sent == count {
                            sent += 1
                            call.finish()
                        }
                    }
                    return RecordingServerHandler(Box()) { event in
                        if event == .halfClose || event == .writable { send() }
                    }
                }
            } _: { server in
                let client = try await connect(server, trusting: files.authority())
                let events = Box<StreamEvent>()
                let call = client.stream(client.method("/test.Long/Stream")) { _ in RecordingClientHandler(events) }
                call.halfClose()
                let heard = await events.wait(for: count + 1)
                #expect(heard.last == .end(.ok))
                for (number, event) in heard.dropLast().enumerated() {
                    let expected = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: size)
                    guard event == .message(expected) else {
                        Issue.record("message \(number) is wrong")
                        break
                    }
                }
                await client.close()
            }
        }
    }

    @Test func aShutdownAnswersWhatRuns() async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            let held = Box<ServerCall>()
            try await withTLSServer(pair) { router in
                router.unary("/test.Later/Unary") { call, _ in held.add(call) }
                router.stream("/test.Stream/Idle") { _ in RecordingServerHandler(Box()) }
            } _: { server in
                let client = try await connect(server, trusting: files.authority())
                let events = Box<StreamEvent>()
                client.stream(client.method("/test.Stream/Idle")) { _ in RecordingClientHandler(events) }.send([1])
                let running = Task { try await client.unary("/test.Later/Unary", []) }
                let call = await held.wait()[0]
                async let stopped: Void = server.shutdownGracefully(deadline: .seconds(600))
                #expect(await events.wait() == [.end(RPCStatus(.unavailable, "server is shutting down"))])
                let message = [UInt8](repeating: 42, count: 300_000)
                call.respond(message)
                #expect(try await running.value == message)
                await stopped
                #expect(server.counters.connectionsOpen == 0)
                try await eventually("the client knows") { !client.isConnected }
            }
        }
    }

    @Test func theClientChecksTheServer() async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            try await files.makeAuthority("stranger")
            try await withTLSServer(pair) { server in
                // By name, and by address as everywhere else here.
                let named = try await connect(server, trusting: files.authority(), host: "localhost")
                #expect(try await named.unary("/test.Echo/Unary", [7]) == [7])
                await named.close()
                let error = await #expect(throws: RPCError.self) {
                    _ = try await connect(server, trusting: files.authority("stranger"))
                }
                #expect(error?.message.contains("certificate verify failed") == true, "\(error as Any)")
            }
            // The client's certificate has no names.
            let nameless = try await files.makeClient("nameless")
            try await files.openssl([
                "req", "-x509", "-config", files.path("config"), "-key", nameless.key, "-subj", "/CN=127.0.0.1",
                "-days",
                "3", "-CA", files.authority(), "-CAkey", files.path("ca.key"), "-out", nameless.certificate,
            ])
            try await withTLSServer(nameless) { server in
                await #expect(throws: RPCError.self) { _ = try await connect(server, trusting: files.authority()) }
            }
        }
    }

    @Test func theServerChecksClients() async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            try await files.makeAuthority("stranger")
            let alice = try await files.makeClient("alice")
            let impostor = try await files.makeClient("impostor", subject: "/CN=alice", signer: "stranger")
            let alone = try await files.makeClient("alone", subject: "/CN=alice", signer: nil)
            let log = LogLines()
            try await withTLSServer(pair, clients: files.authority(), log: log, Self.addMethods) { server in
                let client = try await connect(server, trusting: files.authority(), as: alice)
                #expect(try await name(client) == "alice")
                for pair in [nil, impostor, alone, pair] {
                    let refused = try await refusal(server, files, as: pair)
                    #expect(refused?.contains("TLS: ") == true, "\(refused as Any)")
                }
                // Others are not disturbed.
                #expect(try await name(client) == "alice")
                await client.close()
            }
            let told = log.containing("a TLS handshake that failed")
            #expect(told.count == 1 && told[0].contains("reason=peer did not return a certificate"), "\(told)")
        }
    }

    @Test func namesOfClients() async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            try await files.makeAuthority("between", signer: "ca")
            let alice = try await files.makeClient("alice")
            let several = try await files.makeClient("several", subject: "/CN=first/O=acme/CN=last")
            let none = try await files.makeClient("none", subject: "/O=acme")
            let below = try await files.makeClient("below", signer: "between")
            try
                (Data(contentsOf: URL(filePath: below.certificate))
                + Data(contentsOf: URL(filePath: files.authority("between"))))
                .write(to: URL(filePath: below.certificate))
            try await withTLSServer(pair, clients: files.authority(), Self.addMethods) { server in
                for (pair, expected) in [(alice, "alice"), (several, "last"), (none, ""), (below, "below")] {
                    let client = try await connect(server, trusting: files.authority(), as: pair)
                    #expect(try await name(client) == expected)
                    await client.close()
                }
            }
            // Nobody has looked at it, so it says nothing.
            try await withTLSServer(pair, Self.addMethods) { server in
                let client = try await connect(server, trusting: files.authority(), as: alice)
                #expect(try await name(client) == nil)
                await client.close()
            }
        }
    }

    /// Those who speak HTTP/1 get through TLS to the answer for such clients.
    @Test func versionsAndProtocols() async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            let log = LogLines()
            let request = Array("GET / HTTP/1.1\r\n\r\n".utf8)
            try await withTLSServer(pair, log: log) { server in
                for (offered, expected) in [
                    (["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"), (["h2"], "h2"), (["http/1.1"], "http/1.1"),
                    ([], nil),
                    (["x"], nil),
                ] {
                    let client = try await RawTLSClient.connect(port: server.port, sending: request) {
                        $0.applicationProtocols = offered
                    }
                    let heard = try await client.untilClosed()
                    #expect(heard.negotiated == expected)
                    #expect(String(decoding: heard.bytes, as: UTF8.self).hasPrefix("HTTP/1.1 505 "))
                }
                let twelve = try await RawTLSClient.connect(port: server.port, sending: request) {
                    $0.maximumTLSVersion = .tlsv12
                }
                #expect(try await twelve.untilClosed().bytes.starts(with: Array("HTTP/1.1 505 ".utf8)))
                #expect(log.containing("a TLS handshake that failed").isEmpty)
                let eleven = try await RawTLSClient.connect(port: server.port, sending: request) {
                    ($0.minimumTLSVersion, $0.maximumTLSVersion) = (.tlsv1, .tlsv11)
                }
                let heard = try await eleven.untilClosed()
                #expect(heard.bytes.isEmpty && heard.error != nil)
            }
            #expect(log.containing("reason=unsupported protocol").count == 1, "\(log.all)")
        }
    }
}
