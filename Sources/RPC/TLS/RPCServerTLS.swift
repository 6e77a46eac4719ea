public import Logging
import NIOCore
import NIOPosix
import NIOSSL

/// The certificates with which a server speaks TLS 1.2 or 1.3, or 1.3 alone; read again for each new connection, so that
/// files may be replaced while the server runs.
///
/// Files that cannot be used leave what was there before: that is told once in the log, and so is their mending.
public final class RPCServerTLS: Sendable {
    /// Files as they were read, to see whether they have changed.
    private struct Content: Equatable {
        var certificate: [UInt8]
        var key: [UInt8]
        var clientAuthority: [UInt8]?
    }

    private typealias Made = (context: NIOSSLContext, expires: Int64)

    private let files: ReloadedFiles<Content, Made>

    /// Reads the files; blocks.
    /// - Parameters:
    ///   - certificate: The server's certificate, with those between it and a root behind it, in PEM format.
    ///   - key: Its private key in PEM format, not encrypted.
    ///   - clientAuthority: CAs in PEM format, one of which must have signed the certificate of each client. Nil: clients
    ///     need none, and none is looked at.
    ///   - minimum: The lowest version that is spoken.
    ///   - logger: For changes of the files.
    /// - Throws: The first thing that is wrong: a file cannot be read, is not what it should be, the key belongs to another
    ///   certificate, the certificate is out of date, or every CA is.
    public convenience init(
        certificate: CredentialFile, key: CredentialFile, clientAuthority: CredentialFile?,
        minimum: RPCTLSVersion = .tls12, logger: Logger
    ) throws(CredentialFileError) {
        try self.init(
            certificate: certificate, key: key, clientAuthority: clientAuthority, minimum: minimum, logger: logger
        ) { CertificateClock.now }
    }

    /// - Parameter now: Seconds since 1970.
    package init(
        certificate: CredentialFile, key: CredentialFile, clientAuthority: CredentialFile?,
        minimum: RPCTLSVersion = .tls12, logger: Logger,
        now: @escaping @Sendable () -> Int64
    ) throws(CredentialFileError) {
        let metadata = { @Sendable (made: Made) -> Logger.Metadata in
            ["certificate": "\(certificate.path)", "expires": "\(CertificateClock.text(made.expires))"]
        }
        files = try ReloadedFiles(logger: logger) { () throws(CredentialFileError) in
            Content(
                certificate: try certificate.read(), key: try key.read(), clientAuthority: try clientAuthority?.read())
        } make: { content throws(CredentialFileError) in
            try RPCServerTLS.make(content, certificate, key, clientAuthority, minimum, now: now())
        } metadata: {
            metadata($0)
        }
        logger.info(
            clientAuthority != nil ? "TLS is on, and clients need a certificate" : "TLS is on",
            metadata: metadata(files.latest))
    }

    /// The context for a connection that begins now. The files are read on a thread of their own.
    func context(for eventLoop: any EventLoop) -> EventLoopFuture<NIOSSLContext> {
        NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) { self.files.current().context }
    }

    private static func make(
        _ content: Content, _ certificate: CredentialFile, _ key: CredentialFile, _ clientAuthority: CredentialFile?,
        _ minimum: RPCTLSVersion, now: Int64
    ) throws(CredentialFileError) -> Made {
        let pair = try CertificatePair(
            certificate, certificateBytes: content.certificate, key, keyBytes: content.key, now: now)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: pair.chain, privateKey: pair.key)
        configuration.setUp(minimum: minimum)
        // The first one that the client knows too.
        configuration.applicationProtocols = ["h2", "http/1.1"]
        if let clientAuthority, let bytes = content.clientAuthority {
            let roots = try PEM(file: clientAuthority, bytes: bytes).authorities()
            if let latest = roots.map(\.notValidAfter).max(), latest < now {
                throw clientAuthority.problem(
                    "it expired at \(CertificateClock.text(Int64(latest)))", "have the CA renewed")
            }
            configuration.certificateVerification = .noHostnameVerification
            configuration.trustRoots = .certificates(roots)
            configuration.sendCANameList = true
        }
        return (try pair.context(configuration), pair.expires)
    }
}
