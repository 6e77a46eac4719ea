import NIOCore
import NIOPosix
import NIOSSL
import RPC
import T4Conformance
import TestCertificates
import Testing

/// Goal: where TLS 1.3 is asked for, neither side speaks less. Method: a client and a server that stop at 1.2.
@Suite struct TLSVersionTests {
    @Test(arguments: [RPCTLSVersion.tls12, .tls13]) func theServer(_ minimum: RPCTLSVersion) async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            var configuration = RPCServerConfiguration.patient
            configuration.tls = try RPCServerTLS(
                certificate: pair.files.certificate, key: pair.files.key, clientAuthority: nil, minimum: minimum,
                logger: LogLines().logger)
            try await withServer(configuration: configuration) { server in
                let old = try await RawTLSClient.connect(port: server.port, sending: Array("nonsense".utf8)) {
                    $0.applicationProtocols = ["h2"]
                    $0.maximumTLSVersion = .tlsv12
                }
                let heard = try await old.untilClosed()
                #expect((heard.negotiated == "h2") == (minimum == .tls12), "\(heard)")
                let new = try await connect(server, trusting: files.authority())
                #expect(try await new.unary("/test.Echo/Unary", [1]) == [1])
                await new.close()
            }
        }
    }

    @Test(arguments: [RPCTLSVersion.tls12, .tls13]) func theClient(_ minimum: RPCTLSVersion) async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            var server = TLSConfiguration.makeServerConfiguration(
                certificateChain: try NIOSSLCertificate.fromPEMFile(pair.certificate).map { .certificate($0) },
                privateKey: .privateKey(try NIOSSLPrivateKey(file: pair.key, format: .pem)))
            server.applicationProtocols = ["h2"]
            server.maximumTLSVersion = .tlsv12
            let context = try NIOSSLContext(configuration: server)
            let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
                    }
                }
                .bind(host: "127.0.0.1", port: 0).get()
            var configuration = RPCClientConfiguration()
            configuration.connectTimeout = .seconds(600)
            configuration.tls = try RPCClientTLS(
                authority: CredentialFile(setting: "authority", path: files.authority()), certificate: nil,
                minimum: minimum)
            do {
                let client = try await RPCClient.connect(
                    host: "127.0.0.1", port: try #require(listener.localAddress?.port), configuration: configuration)
                #expect(minimum == .tls12)
                #expect(client.isConnected)
            } catch let error as RPCError {
                #expect(minimum == .tls13 && error.message.contains("TLS"), "\(error)")
            }
            try await listener.close()
        }
    }
}
