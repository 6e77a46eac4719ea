import NIOCore
import NIOSSL

/// A certificate with those above it, and its key; both read and checked one by one, and against each other in `context`.
struct CertificatePair {
    let chain: [NIOSSLCertificateSource]
    let key: NIOSSLPrivateKeySource
    /// Seconds since 1970.
    let expires: Int64
    private let keyFile: CredentialFile
    private let certificateFile: CredentialFile

    init(
        _ certificateFile: CredentialFile, certificateBytes: [UInt8], _ keyFile: CredentialFile, keyBytes: [UInt8],
        now: Int64
    ) throws(CredentialFileError) {
        let certificates = try PEM(file: certificateFile, bytes: certificateBytes).certificates()
        chain = certificates.map { .certificate($0) }
        key = .privateKey(try PEM(file: keyFile, bytes: keyBytes).privateKey())
        self.keyFile = keyFile
        self.certificateFile = certificateFile
        expires = Int64(certificates[0].notValidAfter)
        let begins = Int64(certificates[0].notValidBefore)
        if now > expires {
            throw certificateFile.problem(
                "the certificate expired at \(CertificateClock.text(expires))", "have it renewed")
        }
        if now < begins {
            throw certificateFile.problem(
                "the certificate is not valid before \(CertificateClock.text(begins))",
                "look at the clock of this machine, or make the certificate anew")
        }
    }

    /// The context of a configuration that has the chain and the key.
    func context(_ configuration: TLSConfiguration) throws(CredentialFileError) -> NIOSSLContext {
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch NIOSSLError.failedToLoadPrivateKey {
            // As a key it is fine, or it would not be here.
            throw keyFile.problem(
                "the key does not belong to the certificate in \(certificateFile.path)",
                "name the key that the certificate was made for; its certificate must be the first one in the file")
        } catch {
            throw certificateFile.problem(
                "it cannot be used: \(TLSReason.text(error))", "make certificate and key anew")
        }
    }
}

/// A version of TLS.
public enum RPCTLSVersion: Sendable, Hashable {
    /// TLS 1.2.
    case tls12
    /// TLS 1.3.
    case tls13
}

extension TLSConfiguration {
    /// What servers and clients have in common.
    mutating func setUp(minimum: RPCTLSVersion) {
        minimumTLSVersion = minimum == .tls13 ? .tlsv13 : .tlsv12
        shutdownTimeout = .seconds(1)
        // BoringSSL's own list has no Ed25519, which others use.
        verifySignatureAlgorithms = [
            .ecdsaSecp256R1Sha256, .rsaPssRsaeSha256, .rsaPkcs1Sha256, .ecdsaSecp384R1Sha384, .rsaPssRsaeSha384,
            .rsaPkcs1Sha384, .ecdsaSecp521R1Sha512, .rsaPssRsaeSha512, .rsaPkcs1Sha512, .ed25519,
        ]
    }
}
