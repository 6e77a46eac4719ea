public import Logging

/// The files with which a client speaks TLS; read again for each connection, so that they may be replaced while the process
/// runs.
///
/// Files that cannot be used leave what was there before: that is told once in the log, and so is their mending.
public final class RPCClientTLSFiles: Sendable {
    private let files: ReloadedFiles<RPCClientTLS.Content, RPCClientTLS>

    /// Reads the files; blocks. Parameters and errors are those of `RPCClientTLS`.
    public init(
        authority: CredentialFile, certificate: (certificate: CredentialFile, key: CredentialFile),
        minimum: RPCTLSVersion = .tls12, logger: Logger
    ) throws(CredentialFileError) {
        files = try ReloadedFiles(purpose: " for connections to others", logger: logger) {
            () throws(CredentialFileError) in
            try RPCClientTLS.Content(authority, certificate)
        } make: { content throws(CredentialFileError) in
            try RPCClientTLS(content, authority, certificate, minimum: minimum)
        } metadata: { _ in
            ["certificate": "\(certificate.certificate.path)"]
        }
    }

    /// For a connection that begins now. Reads the files; blocks.
    public func current() -> RPCClientTLS { files.current() }
}
