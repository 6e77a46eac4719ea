import Logging
import RPC
import T4Config

extension Configuration.ClientTLS {
    /// Reads the files; nil where TLS is off.
    /// - Throws: What is wrong with one of them.
    func load(_ logger: Logger) throws(CredentialFileError) -> RPCServerTLS? {
        guard isOn else { return nil }
        return try RPCServerTLS(
            certificate: CredentialFile(setting: "client_tls.cert", path: certificate),
            key: CredentialFile(setting: "client_tls.key", path: key),
            clientAuthority: clientAuthority.isEmpty
                ? nil : CredentialFile(setting: "client_tls.ca", path: clientAuthority), logger: logger)
    }

    /// What a client needs to reach the port: the scheme of its address, and flags of etcdctl.
    var clientUse: (scheme: String, flags: String) {
        guard isOn else { return ("http", "") }
        return ("https", " --cacert FILE" + (clientAuthority.isEmpty ? "" : " --cert FILE --key FILE"))
    }
}
