/// TLS on the port of the clients. An empty value is refused, since a node without TLS would do what nobody asked for.
extension SettingDefinition {
    static let clientTLS = [
        SettingDefinition(
            "client_tls.cert", flag: "client-tls-cert", \.clientTLS.certificate, placeholder: "FILE",
            isNeverEmpty: true,
            "Certificate of the node for its clients, with those above it behind it, in PEM format. With it the port "
                + "speaks TLS 1.2 and 1.3 only. This file and the two below are read again for each new connection."),
        SettingDefinition(
            "client_tls.key", flag: "client-tls-key", \.clientTLS.key, placeholder: "FILE", isNeverEmpty: true,
            "Private key of that certificate, in PEM format and not encrypted."),
        SettingDefinition(
            "client_tls.ca", flag: "client-tls-ca", \.clientTLS.clientAuthority, placeholder: "FILE",
            isNeverEmpty: true,
            "CAs in PEM format. With it each client needs a certificate that one of them has signed, and a request "
                + "without a login comes from the user whom the certificate's common name says."),
    ]
}
