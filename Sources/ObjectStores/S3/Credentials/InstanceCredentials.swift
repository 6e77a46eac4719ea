/// Keys of the role of a virtual machine, by version 2 of its metadata service.
struct InstanceCredentials: CredentialsSource {
    private static let path = "/latest/meta-data/iam/security-credentials/"

    let services: CredentialServices

    /// Nil when the environment switches the service off.
    init?(_ services: CredentialServices) {
        guard services.environment["AWS_EC2_METADATA_DISABLED"]?.lowercased() != "true" else { return nil }
        self.services = services
    }

    func load() async throws(CredentialsFailure) -> Credentials {
        let token = try await ask(
            .put, "/latest/api/token", [HTTPHeader("X-aws-ec2-metadata-token-ttl-seconds", "21600")])
        let proof = [HTTPHeader("X-aws-ec2-metadata-token", String(decoding: token, as: UTF8.self))]
        let roles = String(decoding: try await ask(.get, Self.path, proof), as: UTF8.self)
        guard let role = roles.split(whereSeparator: \.isNewline).first else {
            throw CredentialsFailure("this machine has no role")
        }
        let json = try await ask(.get, Self.path + PercentEncoding.encode(String(role)), proof)
        return try CredentialServices.credentials(json: json, origin: "instance role \(role)")
    }

    private func ask(
        _ method: HTTPMethod, _ path: String, _ headers: [HTTPHeader]
    ) async throws(CredentialsFailure) -> [UInt8] {
        let base = services.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] ?? "http://169.254.169.254"
        return try await services.send(
            HTTPRequest(
                method: method, url: (base.hasSuffix("/") ? String(base.dropLast()) : base) + path, headers: headers,
                mayRepeat: true, bodySizeMax: CredentialServices.answerSizeMax,
                timeouts: CredentialServices.localTimeouts, bypassesProxy: true),
            to: "the metadata service of this machine"
        ).body
    }
}
