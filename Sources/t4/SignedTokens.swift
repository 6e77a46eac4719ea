import Logging
import RPC
import T4Config
import T4Server

extension Configuration.Auth {
    /// Reads the key files; nil where tokens are not signed.
    /// - Throws: What is wrong with one of them.
    func loadSignedTokens(_ logger: Logger) throws(CredentialFileError) -> SignedTokens? {
        guard case .jwt(let settings) = tokens else { return nil }
        func file(_ option: String, _ path: String?) -> CredentialFile? {
            path.map { CredentialFile(setting: "auth.tokens, \(option)", path: $0) }
        }
        let (publicKey, privateKey) = (file("pub-key", settings.publicKey), file("priv-key", settings.privateKey))
        let files: SigningKeyFiles
        switch (publicKey, privateKey) {
        case (let publicKey, let privateKey?): files = .signing(privateKey, matching: publicKey)
        case (let publicKey?, nil): files = .verifying(publicKey)
        case (nil, nil): preconditionFailure("settings without a key are refused when they are read")
        }
        return try SignedTokens(settings.method, files, lifetime: settings.ttl, logger: logger)
    }
}
