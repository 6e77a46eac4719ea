import Foundation
import NIOCore
import NIOSSL
import RPC
import RawHTTP2
import T4Conformance
import TestCertificates
import Testing

/// Goal: who does not get through the handshake costs little and not for long, and is told of in one line. Method: bytes that
/// are no TLS, handshakes that stop or do not end, small limits.
@Suite struct TLSDoorTests {
    @Test func plainTextOnATLSPort() async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            let log = LogLines()
            try await withTLSServer(pair, log: log) { server in
                let browser = try await RawPeer(port: server.port)
                try await browser.write("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                let answer = String(decoding: await browser.readToEnd(), as: UTF8.self)
                #expect(answer == "HTTP/1.0 400 Bad Request\r\n\r\nThis port speaks TLS: use https.\n")
                let old = try await RawPeer(port: server.port)
                try await old.startHTTP2()
                try await old.drainToEnd()
                let garbage = try await RawPeer(port: server.port)
                try await garbage.write([0, 1, 2, 3])
                #expect(await garbage.readToEnd().isEmpty)
                // Our own client without TLS.
                let plain = try await connect(server)
                #expect(await failure(plain, "/test.Echo/Unary").code == .unavailable)
                await plain.close()
                let client = try await connect(server, trusting: files.authority())
                #expect(try await client.unary("/test.Echo/Unary", [1]) == [1])
                await client.close()
            }
            #expect(log.containing("no TLS handshake, and this port speaks TLS only").count == 1, "\(log.all)")
            #expect(log.containing("a client was cut off").count == 1, "\(log.all)")
        }
    }

    @Test func tlsOnAPlainPort() async throws {
        try await TestCertificates.with { files in
            let log = LogLines()
            try await withServer(logger: log.logger) { _ in
            } _: { server in
                let error = await #expect(throws: RPCError.self) {
                    _ = try await connect(server, trusting: files.authority())
                }
                #expect(error?.code == .cannotConnect && error?.message.contains("TLS: ") == true, "\(error as Any)")
                let plain = try await connect(server)
                #expect(try await plain.unary("/test.Echo/Unary", [1]) == [1])
                await plain.close()
            }
            #expect(log.containing("a TLS handshake, and this port has no TLS").count == 1, "\(log.all)")
        }
    }

    /// A port that is only looked at is no news.
    @Test func whoSaysNothingIsNotToldOf() async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            let log = LogLines()
            try await withTLSServer(pair, log: log) { server in
                let probe = try await RawPeer(port: server.port)
                await probe.shutDownSending()
                try await probe.drainToEnd()
                // One that says something.
                let broken = try await RawPeer(port: server.port)
                try await broken.write([0x16, 3, 1, 0, 200, 1])
                await broken.shutDownSending()
                try await broken.drainToEnd()
                try await eventually("both are gone") { server.counters.connectionsOpen == 0 }
            }
            let told = log.containing("a client was cut off")
            #expect(told.count == 1 && told[0].contains("reason=the connection was closed"), "\(told)")
        }
    }

    @Test func handshakesThatStop() async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            let log = LogLines()
            var configuration = RPCServerConfiguration.patient
            configuration.handshakeTimeout = .milliseconds(300)
            try await withTLSServer(pair, log: log, configuration: configuration) { server in
                let silent = try await RawPeer(port: server.port)
                let stopped = try await RawPeer(port: server.port)
                // The begin of a client's first message.
                try await stopped.write([0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3])
                // One that gets through TLS and says nothing afterwards.
                let quiet = try await RawTLSClient.connect(port: server.port)
                try await silent.drainToEnd()
                try await stopped.drainToEnd()
                _ = try await quiet.untilClosed()
                try await eventually("all are gone") { server.counters.connectionsOpen == 0 }
            }
            let late = log.containing("no HTTP/2 handshake, and no request, within the time for it")
            #expect(late.count == 1, "\(log.all)")
        }
    }

    @Test func connectionsInTheHandshakeCount() async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            var configuration = RPCServerConfiguration.patient
            configuration.connectionsMax = 2
            try await withTLSServer(pair, configuration: configuration) { server in
                let half = [try await RawPeer(port: server.port), try await RawPeer(port: server.port)]
                for peer in half { try await peer.write([0x16, 3, 1, 0, 200, 1]) }
                try await eventually("both are there") { server.counters.connectionsOpen == 2 }
                await #expect(throws: RPCError.self) { _ = try await connect(server, trusting: files.authority()) }
                #expect(server.counters.connectionsRefused == 1)
                for peer in half { await peer.shutDownSending() }
                try await eventually("both are gone") { server.counters.connectionsOpen == 0 }
                let client = try await connect(server, trusting: files.authority())
                #expect(try await client.unary("/test.Echo/Unary", [1]) == [1])
                await client.close()
            }
        }
    }

    /// A client's certificate with so many others behind it.
    private func longChain(_ files: TestCertificates, bytes: Int) async throws -> TestCertificates.Pair {
        var pair = try await files.makeClient("long-\(bytes)")
        let certificate = try Data(contentsOf: URL(filePath: pair.certificate))
        let der = try NIOSSLCertificate.fromPEMFile(pair.certificate)[0].toDERBytes().count
        pair.certificate = files.path("chain-\(bytes).crt")
        let all = (0...bytes / der).reduce(into: Data()) { all, _ in all += certificate }
        try all.write(to: URL(filePath: pair.certificate))
        return pair
    }

    @Test func handshakesHaveABound() async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            let log = LogLines()
            try await withTLSServer(pair, clients: files.authority(), log: log) { server in
                let (within, beyond) = (
                    try await longChain(files, bytes: 12_000), try await longChain(files, bytes: 80_000)
                )
                let first = try await refusal(server, files, as: within)
                #expect(first == nil)
                #expect(try await refusal(server, files, as: beyond) != nil)
                #expect(try await refusal(server, files, as: within) == nil)
            }
            #expect(log.containing("reason=more than 65536 bytes of it").count == 1, "\(log.all)")
        }
    }

    @Test func handshakesCountAsMemory() async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            let log = LogLines()
            var configuration = RPCServerConfiguration.patient
            configuration.bufferedBytesMax = 24 * 1024
            try await withTLSServer(pair, clients: files.authority(), log: log, configuration: configuration) {
                server in
                let long = try await longChain(files, bytes: 40_000)
                #expect(try await refusal(server, files, as: long) != nil)
                // What it held is free again, often enough.
                let short = try await files.makeClient("short")
                for _ in 0..<20 { #expect(try await refusal(server, files, as: short) == nil) }
            }
            #expect(log.containing("memory for requests and answers is short").count == 1, "\(log.all)")
        }
    }
}
