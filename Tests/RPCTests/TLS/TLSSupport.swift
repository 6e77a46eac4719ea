import Foundation
import RPC
import T4Conformance
import TestCertificates

extension TestCertificates.Pair {
    var files: (certificate: CredentialFile, key: CredentialFile) {
        (CredentialFile(setting: "cert", path: certificate), CredentialFile(setting: "key", path: key))
    }
}

/// Runs `body` against a server that speaks TLS.
/// - Parameter clients: The CA of the clients' certificates.
func withTLSServer(
    _ pair: TestCertificates.Pair, clients: String? = nil, log: LogLines = LogLines(),
    configuration: RPCServerConfiguration = .patient,
    _ addMethods: (inout RPCRouter) -> Void = { _ in },
    _ body: (RPCServer) async throws -> Void
) async throws {
    var configuration = configuration
    configuration.tls = try RPCServerTLS(
        certificate: pair.files.certificate, key: pair.files.key,
        clientAuthority: clients.map { CredentialFile(setting: "ca", path: $0) }, logger: log.logger)
    try await withServer(configuration: configuration, logger: log.logger, addMethods, body)
}

func connect(
    _ server: RPCServer, trusting authority: String, as pair: TestCertificates.Pair? = nil, host: String = "127.0.0.1"
) async throws -> RPCClient {
    var configuration = RPCClientConfiguration()
    configuration.connectTimeout = .seconds(600)
    configuration.tls = try RPCClientTLS(
        authority: CredentialFile(setting: "authority", path: authority), certificate: pair?.files)
    return try await RPCClient.connect(host: host, port: server.port, configuration: configuration)
}

/// Why a call does not go through, which a client may learn only after the handshake; nil if it does.
func refusal(
    _ server: RPCServer, _ files: TestCertificates, as pair: TestCertificates.Pair?
) async throws -> String? {
    do {
        let client = try await connect(server, trusting: files.authority(), as: pair)
        let status = await failure(client, "/test.Echo/Unary", [1])
        await client.close()
        return status.isOK ? nil : "\(status)"
    } catch let error as RPCError {
        return "\(error)"
    }
}
