/// Finds the place that credentials come from. The first place that is set up counts; when it fails, no later one is
/// tried, since that could be another identity.
enum CredentialsChain {
    /// The source for these settings and surroundings; nil for anonymous requests.
    static func source(
        _ settings: S3Settings, services: CredentialServices
    ) throws(CredentialsFailure) -> (any CredentialsSource)? {
        if settings.isAnonymous { return nil }
        if let fixed = try configured(settings) { return fixed }
        let environment = services.environment
        // A profile that the settings name comes before anything ambient.
        if let profile = settings.profile {
            return ProfileCredentials(name: profile, environment: environment, services: services)
        }
        if let id = environment["AWS_ACCESS_KEY_ID"], let secret = environment["AWS_SECRET_ACCESS_KEY"] {
            return FixedCredentials(
                credentials: Credentials(
                    accessKeyID: id, secretAccessKey: S3Secret(secret),
                    sessionToken: environment["AWS_SESSION_TOKEN"].map { S3Secret($0) }, origin: "the environment"))
        }
        if let file = environment["AWS_WEB_IDENTITY_TOKEN_FILE"], let role = environment["AWS_ROLE_ARN"] {
            return WebIdentityCredentials(
                role: role, tokenFile: file, session: environment["AWS_ROLE_SESSION_NAME"], services: services)
        }
        if let profile = environment["AWS_PROFILE"] {
            return ProfileCredentials(name: profile, environment: environment, services: services)
        }
        if let profile = try SharedProfile.load("default", environment: environment), hasKeys(profile) {
            return ProfileCredentials(name: profile.name, environment: environment, services: services)
        }
        if let container = try ContainerCredentials(services) { return container }
        if let instance = InstanceCredentials(services) { return instance }
        throw CredentialsFailure(
            "no credentials for s3: set access_key_id and secret_access_key_file, or profile, or the environment "
                + "variables of AWS, or anonymous = true for a public bucket")
    }

    /// A section that only names a region leaves the search to go on.
    private static func hasKeys(_ profile: SharedProfile) -> Bool {
        ["aws_access_key_id", "role_arn", "credential_process", "sso_session"].contains { profile[$0] != nil }
    }

    private static func configured(_ settings: S3Settings) throws(CredentialsFailure) -> FixedCredentials? {
        guard let id = settings.accessKeyID else { return nil }
        var secret = settings.secretAccessKey
        if let file = settings.secretAccessKeyFile { secret = S3Secret(try CredentialServices.token(file: file)) }
        guard let secret else {
            throw CredentialsFailure("access_key_id needs secret_access_key_file or secret_access_key")
        }
        return FixedCredentials(
            credentials: Credentials(accessKeyID: id, secretAccessKey: secret, origin: "the settings"))
    }
}
