import Foundation
import Logging
import RPC
import Synchronization
import TestCertificates

/// Lines of a log, for tests that look for them.
final class LogLines: Sendable {
    private let lines = Mutex<[String]>([])

    var all: [String] { lines.withLock { $0 } }
    func containing(_ text: String) -> [String] { all.filter { $0.contains(text) } }

    var logger: Logger {
        Logger(label: "test") { _ in Handler(lines: self) }
    }

    private struct Handler: LogHandler {
        let lines: LogLines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let text = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
            lines.lines.withLock { $0.append("\(event.level) \(event.message)\(text)") }
        }
    }
}

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
