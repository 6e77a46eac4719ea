import Foundation
import RPC
import T4Conformance
import T4Protocols
import TestCertificates
import Testing

@testable import T4Core
@testable import T4Server

/// Goal: with TLS nobody but the nodes of the cluster gets in, and certificates may be replaced under running nodes. Method: nodes and
/// clients with certificates of several kinds; the openssl command for what no node does.
@Suite struct PeerTLSTests {
    private func file(_ path: String) -> CredentialFile { CredentialFile(setting: "peer_tls", path: path) }

    private func tls(_ pair: TestCertificates.Pair, _ authority: String, _ log: LogLines = LogLines()) throws -> PeerTLS
    {
        try PeerTLS(
            certificate: file(pair.certificate), key: file(pair.key), authority: file(authority), logger: log.logger)
    }

    /// Nodes that have these certificates.
    private func withPeers(_ tls: [PeerTLS?], _ body: ([TestPeer]) async throws -> Void) async throws {
        let names = ["a", "b", "c"].prefix(tls.count)
        try await T4ServerTests.withPeers(Array(names)) { instance, configuration in
            configuration.tls = names.firstIndex(of: instance).flatMap { tls[$0] }
        } _: {
            try await body($0)
        }
    }

    /// Whether `from` gets in at `to`.
    private func isLetIn(_ from: TestPeer, _ to: TestPeer, _ address: String? = nil) async -> Bool {
        let address = address ?? to.address
        from.transport.greet(address, .hello(of: from.own.instanceID))
        await eventually("the attempt is over") { !from.transport.hub.isDialling(address) }
        return !from.transport.peers.isEmpty
    }

    @Test func nodesOfOneAuthority() async throws {
        try await TestCertificates.with { files in
            let pairs = [try await files.makePeer("a"), try await files.makePeer("b")]
            try await withPeers(try pairs.map { try tls($0, files.authority()) }) { peers in
                let (a, b) = (peers[0], peers[1])
                let entries = LogEntry.some([1_500_000, 3])
                // By name, and by address.
                #expect(await isLetIn(a, b, "localhost:\(b.transport.port)"))
                #expect(a.transport.send(.numbered(1, from: "a", entries), entries: entries, to: "b") == .queued)
                #expect(await b.recorder.wait { $0.entries.count == 2 }.entries == entries)
                #expect(b.transport.send(.numbered(2, from: "b", entries), entries: entries, to: "a") == .queued)
                #expect(await a.recorder.wait { $0.entries.count == 2 }.entries == entries)
                async let answer = b.transport.ask([1], of: "a", timeout: .seconds(1200))
                await a.recorder.wait { !$0.questions.isEmpty }.questions[0].answer([2])
                let answered = try await answer
                #expect(answered == [2])
            }
        }
    }

    @Test func strangersAreKeptOut() async throws {
        try await TestCertificates.with { files in
            try await files.makeAuthority("stranger")
            let good = try tls(try await files.makePeer("a"), files.authority())
            let foreign = try await files.makePeer("b", signer: "stranger")
            let nameless = try await files.makeClient("nameless")
            // The stranger trusts whom it dials, but is not trusted; trusts nobody here; has no names; speaks no TLS.
            let strangers = [
                try tls(foreign, files.authority()), try tls(foreign, files.authority("stranger")), nil,
            ]
            for stranger in strangers {
                try await withPeers([good, stranger]) { peers in
                    let (a, b) = (peers[0], peers[1])
                    #expect(await !isLetIn(b, a))
                    #expect(await !isLetIn(a, b))
                    #expect(a.recorder.heard.messages.isEmpty && b.recorder.heard.messages.isEmpty)
                    await eventually("both say why") {
                        !a.log.containing("warning").isEmpty && !b.log.containing("warning").isEmpty
                    }
                }
            }
            // It may dial, for its certificate is of the right CA, but is not believed to be who it says.
            try await withPeers([good, try tls(nameless, files.authority())]) { peers in
                #expect(await !isLetIn(peers[0], peers[1]))
                await eventually("it says so") { peers[0].log.containing("cannot be reached").count == 1 }
            }
        }
    }

    @Test func noCertificateAndOlderVersions() async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makePeer("a")
            try await withPeers([try tls(pair, files.authority())]) { peers in
                var configuration = RPCClientConfiguration()
                configuration.connectTimeout = .seconds(600)
                configuration.tls = try RPCClientTLS(authority: file(files.authority()), certificate: nil)
                await #expect(throws: (any Error).self) {
                    let client = try await RPCClient.connect(
                        host: "127.0.0.1", port: peers[0].transport.port, configuration: configuration)
                    _ = try await client.unary(PeerTransport.question, [])
                }
                let arguments = [
                    "s_client", "-connect", "127.0.0.1:\(peers[0].transport.port)", "-CAfile", files.authority(),
                    "-cert", pair.certificate, "-key", pair.key, "-verify_return_error",
                ]
                try await files.openssl(arguments + ["-tls1_3"])
                await #expect(throws: TestCertificates.Failure.self) {
                    try await files.openssl(arguments + ["-tls1_2"])
                }
            }
        }
    }

    @Test func filesAreReplaced() async throws {
        try await TestCertificates.with { files in
            func replace(_ file: String, with other: String) throws {
                try Data(contentsOf: URL(filePath: other)).write(to: URL(filePath: file), options: .atomic)
            }
            try await files.makeAuthority("next")
            let (a, b) = (try await files.makePeer("a"), try await files.makePeer("b"))
            let next = try await files.makePeer("next-node", signer: "next")
            // Both trust what is in this file.
            let trusted = files.path("trusted.crt")
            try replace(trusted, with: files.authority())
            let log = LogLines()
            try await withPeers([try tls(a, trusted, log), try tls(b, trusted, log)]) { peers in
                let (a, b) = (peers[0], peers[1])
                #expect(await isLetIn(a, b))
                await b.recorder.wait { !$0.messages.isEmpty }
                // One file of three: the old ones stay, here and there.
                try replace(files.path("b.crt"), with: next.certificate)
                func reconnect(_ from: TestPeer, _ to: TestPeer) async -> Bool {
                    let lost = (from.recorder.heard.lost.count, to.recorder.heard.lost.count)
                    if let stream = from.transport.hub.stream(to: to.own.instanceID) {
                        // With its connection.
                        await stream.client?.close()
                        await from.recorder.wait { $0.lost.count > lost.0 }
                        await to.recorder.wait { $0.lost.count > lost.1 }
                    }
                    return await isLetIn(from, to)
                }
                #expect(await reconnect(a, b))
                let told = log.containing("the old ones stay in use")
                #expect(!told.isEmpty, "\(log.all)")
                #expect(a.transport.send(.numbered(1, from: "a"), to: "b") == .queued)
                await b.recorder.wait { $0.numbers == [1] }
                // A certificate of the new CA, which is trusted as well.
                try replace(files.path("b.key"), with: next.key)
                #expect(await !reconnect(a, b))
                let both =
                    try Data(contentsOf: URL(filePath: files.authority()))
                    + Data(contentsOf: URL(filePath: files.authority("next")))
                try both.write(to: URL(filePath: trusted), options: .atomic)
                #expect(await reconnect(a, b))
                #expect(!log.containing("notice new TLS files are in use for connections to others").isEmpty)
                #expect(a.transport.send(.numbered(2, from: "a"), to: "b") == .queued)
                await b.recorder.wait { $0.numbers == [1, 2] }
            }
        }
    }
}
