/// Exchanges a token that the platform writes to a file, Kubernetes for instance, for keys of a role.
struct WebIdentityCredentials: CredentialsSource {
    let role: String
    let tokenFile: String
    let session: String?
    let services: CredentialServices

    func load() async throws(CredentialsFailure) -> Credentials {
        let form = PercentEncoding.query([
            QueryItem("Action", "AssumeRoleWithWebIdentity"), QueryItem("Version", "2011-06-15"),
            QueryItem("RoleArn", role), QueryItem("RoleSessionName", session ?? "t4"),
            // Read each time: the platform replaces it before it expires.
            QueryItem("WebIdentityToken", try CredentialServices.token(file: tokenFile)),
        ])
        let request = HTTPRequest(
            method: .post, url: endpoint,
            headers: [HTTPHeader("Content-Type", "application/x-www-form-urlencoded")], body: Array(form.utf8),
            mayRepeat: true, bodySizeMax: CredentialServices.answerSizeMax,
            timeouts: CredentialServices.remoteTimeouts)
        let origin = "web identity \(role)"
        let response = try await services.send(request, to: "STS (\(endpoint)) for \(origin)")
        guard
            let keys = XMLElement(parsing: response.body)?["AssumeRoleWithWebIdentityResult"]?["Credentials"],
            let id = keys["AccessKeyId"]?.text, let secret = keys["SecretAccessKey"]?.text,
            let token = keys["SessionToken"]?.text
        else { throw CredentialsFailure("the answer of STS for \(origin) holds no keys", isTemporary: true) }
        return Credentials(
            accessKeyID: id, secretAccessKey: S3Secret(secret), sessionToken: S3Secret(token),
            expiration: try CredentialServices.expiration(keys["Expiration"]?.text, origin: origin), origin: origin)
    }

    private var endpoint: String {
        services.environment["AWS_ENDPOINT_URL_STS"]
            ?? "https://sts.\(services.region).\(S3Endpoint.domain(ofRegion: services.region))/"
    }
}
