import ArgumentParser
import RPC

/// The flags of a command that connects to a server, named as etcdctl's.
struct ClientTLSOptions: ParsableArguments {
    @Option(help: "File with the CAs to trust, PEM. Asks for TLS. By default those of the system.")
    var cacert: String?

    @Option(help: "File with the certificate to show to the server, PEM. Asks for TLS.")
    var cert: String?

    @Option(help: "File with the private key of --cert, PEM.")
    var key: String?

    private var isGiven: Bool { cacert != nil || cert != nil || key != nil }

    func validate(endpoint: String) throws {
        guard (cert == nil) == (key == nil) else { throw ValidationError("--cert and --key go together") }
        guard !isGiven || !endpoint.hasPrefix("http://") else {
            throw ValidationError("--cacert, --cert and --key go with https:// only")
        }
    }

    /// Nil where the server is to be spoken to without TLS.
    /// - Throws: What is wrong with one of the files.
    func load(endpoint: String) throws(CredentialFileError) -> RPCClientTLS? {
        guard isGiven || endpoint.hasPrefix("https://") else { return nil }
        func file(_ setting: String, _ path: String?) -> CredentialFile? {
            path.map { CredentialFile(setting: setting, path: $0) }
        }
        var pair: (certificate: CredentialFile, key: CredentialFile)?
        if let cert = file("--cert", cert), let key = file("--key", key) { pair = (cert, key) }
        return try RPCClientTLS(authority: file("--cacert", cacert), certificate: pair)
    }
}
