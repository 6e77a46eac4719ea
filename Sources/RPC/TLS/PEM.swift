import NIOSSL

/// Reads certificates and keys out of PEM text, and says what a file holds that has none.
package struct PEM {
    let file: CredentialFile
    let bytes: [UInt8]

    /// - Parameter bytes: What the file holds.
    package init(file: CredentialFile, bytes: [UInt8]) {
        self.file = file
        self.bytes = bytes
    }

    /// The certificates of the file, in its order; at least one.
    func certificates() throws(CredentialFileError) -> [NIOSSLCertificate] {
        try requireText()
        guard
            holds("-----BEGIN CERTIFICATE-----") || holds("-----BEGIN X509 CERTIFICATE-----")
                || holds("-----BEGIN TRUSTED CERTIFICATE-----")
        else {
            if holds("CERTIFICATE REQUEST-----") {
                throw file.problem(
                    "it holds a request for a certificate, not a certificate",
                    "have a CA sign it (openssl x509 -req) and name the result")
            }
            if holds("PRIVATE KEY-----") {
                throw file.problem(
                    "it holds a private key, not a certificate", "name the certificate; are two settings swapped?")
            }
            throw file.problem(
                "it holds no certificate in PEM format (-----BEGIN CERTIFICATE-----)",
                "name a file in PEM format, or convert it with openssl x509 -inform DER")
        }
        do {
            let certificates = try NIOSSLCertificate.fromPEMBytes(bytes)
            if !certificates.isEmpty { return certificates }
        } catch {
            throw file.problem("a certificate in it is damaged: \(TLSReason.text(error))", "copy or make it anew")
        }
        throw file.problem("a certificate in it is damaged", "copy or make it anew")
    }

    /// The certificates of the file as CAs to trust; at least one is a root, which every chain has to end in.
    func authorities() throws(CredentialFileError) -> [NIOSSLCertificate] {
        let certificates = try certificates()
        guard certificates.contains(where: { $0.subjectName == $0.issuerName }) else {
            throw file.problem(
                "it holds no root: another CA has signed each certificate in it",
                "add the certificate of the root CA to the file")
        }
        return certificates
    }

    /// The private key of the file.
    func privateKey() throws(CredentialFileError) -> NIOSSLPrivateKey {
        try requirePrivateKey()
        do {
            // Without a callback a password would be asked for on the terminal.
            return try NIOSSLPrivateKey(bytes: bytes, format: .pem) { $0([UInt8]()) }
        } catch {
            throw file.problem(
                "the private key in it is damaged or of an unknown kind", "copy or make it anew, RSA or ECDSA")
        }
    }

    /// Refuses text without a private key that can be read without a password.
    package func requirePrivateKey() throws(CredentialFileError) {
        try requireText()
        guard holds("PRIVATE KEY-----") else {
            if holds("-----BEGIN CERTIFICATE-----") {
                throw file.problem(
                    "it holds a certificate, not a private key", "name the key; are two settings swapped?")
            }
            if holds("PUBLIC KEY-----") {
                throw file.problem(
                    "it holds a public key, not a private one", "name the private key; are two settings swapped?")
            }
            throw file.problem(
                "it holds no private key in PEM format (-----BEGIN PRIVATE KEY-----)",
                "name a file in PEM format, or convert it with openssl pkey -inform DER")
        }
        guard !holds("-----BEGIN ENCRYPTED PRIVATE KEY-----"), !holds("Proc-Type: 4,ENCRYPTED") else {
            throw file.problem(
                "the key is encrypted, and nobody is asked for its password",
                "write it without one (openssl pkey -in FILE -out NEWFILE) and keep it readable for t4 alone")
        }
    }

    /// Refuses text without a public key or a certificate, which has one.
    package func requirePublicKey() throws(CredentialFileError) {
        try requireText()
        guard !holds("PUBLIC KEY-----"), !holds("-----BEGIN CERTIFICATE-----") else { return }
        if holds("PRIVATE KEY-----") {
            throw file.problem(
                "it holds a private key, not a public one",
                "name the public key (openssl pkey -in FILE -pubout); are two settings swapped?")
        }
        throw file.problem(
            "it holds no public key in PEM format (-----BEGIN PUBLIC KEY-----)",
            "make it of the private key with openssl pkey -in FILE -pubout")
    }

    private func requireText() throws(CredentialFileError) {
        guard !bytes.isEmpty else { throw file.problem("the file is empty", "copy or make it anew") }
    }

    private func holds(_ text: String) -> Bool {
        bytes.contains(Array(text.utf8))
    }
}

/// What BoringSSL's errors say, without its places in the source.
enum TLSReason {
    private static let mark = "OPENSSL_internal:"

    /// A few words in lower case: `certificate verify failed`.
    static func text(_ error: any Error) -> String {
        let text = "\(error)"
        var reasons: [String] = []
        var rest = text[...]
        while let found = rest.firstRange(of: mark) {
            let word = rest[found.upperBound...].prefix { $0.isLetter || $0.isNumber || $0 == "_" }
            let reason = word.lowercased().replacing("_", with: " ")
            if !reasons.contains(reason) { reasons.append(reason) }
            rest = rest[word.endIndex...]
        }
        if !reasons.isEmpty { return reasons.joined(separator: ", ") }
        if text.contains("EOF during handshake") || error as? NIOSSLError == .uncleanShutdown {
            return "the connection was closed"
        }
        return text
    }
}
