public import Logging
import Synchronization

/// The files with which a client speaks TLS; read again for each connection, so that they may be replaced while the process
/// runs.
///
/// Files that cannot be used leave what was there before: that is told once in the log, and so is their mending.
public final class RPCClientTLSFiles: Sendable {
    private struct State {
        var tls: RPCClientTLS
        var content: [[UInt8]]
        /// Why the files are not used as they are now; nil where they are.
        var problem: CredentialFileError?
    }

    private let authority: CredentialFile
    private let certificate: (certificate: CredentialFile, key: CredentialFile)
    private let minimum: RPCTLSVersion
    private let logger: Logger
    private let state: Mutex<State>

    /// Reads the files; blocks. Parameters and errors are those of `RPCClientTLS`.
    public init(
        authority: CredentialFile, certificate: (certificate: CredentialFile, key: CredentialFile),
        minimum: RPCTLSVersion = .tls12, logger: Logger
    ) throws(CredentialFileError) {
        self.authority = authority
        self.certificate = certificate
        self.minimum = minimum
        self.logger = logger
        // Read twice: what changes in between is seen the next time.
        let content = try RPCClientTLSFiles.read(authority, certificate)
        let tls = try RPCClientTLS(authority: authority, certificate: certificate, minimum: minimum)
        state = Mutex(State(tls: tls, content: content))
    }

    /// For a connection that begins now. Reads the files; blocks.
    public func current() -> RPCClientTLS {
        state.withLock { state in
            do throws(CredentialFileError) {
                let content = try RPCClientTLSFiles.read(authority, certificate)
                if content != state.content {
                    let tls = try RPCClientTLS(authority: authority, certificate: certificate, minimum: minimum)
                    state = State(tls: tls, content: content)
                    logger.notice(
                        "new TLS files are in use for connections to others",
                        metadata: ["certificate": "\(certificate.certificate.path)"])
                } else if state.problem != nil {
                    state.problem = nil
                    logger.notice("the TLS files in use for connections to others are back")
                }
            } catch {
                if error != state.problem {
                    logger.error(
                        "new TLS files cannot be used for connections to others, the old ones stay in use: \(error)")
                }
                state.problem = error
            }
            return state.tls
        }
    }

    private static func read(
        _ authority: CredentialFile, _ certificate: (certificate: CredentialFile, key: CredentialFile)
    ) throws(CredentialFileError) -> [[UInt8]] {
        [try authority.read(), try certificate.certificate.read(), try certificate.key.read()]
    }
}
