/// Keys from the agent beside a container (ECS, EKS Pod Identity).
struct ContainerCredentials: CredentialsSource {
    /// Hosts that may be asked without encryption, besides this machine.
    private static let agents: Set = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"]

    let uri: String
    let services: CredentialServices

    /// Nil when the environment names no agent.
    init?(_ services: CredentialServices) throws(CredentialsFailure) {
        let environment = services.environment
        self.services = services
        if let path = environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] {
            uri = "http://169.254.170.2\(path.hasPrefix("/") ? "" : "/")\(path)"
        } else if let full = environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] {
            guard Self.isTrusted(full) else {
                throw CredentialsFailure(
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or name this machine or an agent's address")
            }
            uri = full
        } else {
            return nil
        }
    }

    func load() async throws(CredentialsFailure) -> Credentials {
        var headers: [HTTPHeader] = []
        if let token = try token() {
            guard !token.contains(where: \.isNewline) else {
                throw CredentialsFailure("the token for the container's credentials has a line break in it")
            }
            headers.append(HTTPHeader("Authorization", token))
        }
        let response = try await services.send(
            HTTPRequest(
                method: .get, url: uri, headers: headers, mayRepeat: true,
                bodySizeMax: CredentialServices.answerSizeMax, timeouts: CredentialServices.localTimeouts,
                bypassesProxy: !uri.hasPrefix("https:")),
            to: "the container's credentials service")
        return try CredentialServices.credentials(json: response.body, origin: "the container's credentials service")
    }

    /// Read each time: the platform replaces the file.
    private func token() throws(CredentialsFailure) -> String? {
        let environment = services.environment
        if let file = environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] {
            return try CredentialServices.token(file: file)
        }
        return environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    }

    static func isTrusted(_ uri: String) -> Bool {
        if uri.hasPrefix("https://") { return true }
        guard uri.hasPrefix("http://") else { return false }
        let authority = uri.dropFirst("http://".count).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        // A user name could make another host look like this one.
        guard !authority.contains("@") else { return false }
        let host =
            authority.hasPrefix("[")
            ? authority.prefix { $0 != "]" } + "]" : authority.prefix { $0 != ":" }
        if host == "localhost" || host == "[::1]" || agents.contains(String(host)) { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil } && parts[0] == "127"
    }
}
