/// A named section of the shared files `~/.aws/config` and `~/.aws/credentials`.
struct SharedProfile: Sendable {
    var name: String
    /// Both files together; the credentials file comes first.
    var values: [String: String]

    subscript(_ key: String) -> String? { values[key].flatMap { $0.isEmpty ? nil : $0 } }

    /// Reads a profile.
    /// - Returns: Nil when neither file has it.
    static func load(
        _ name: String, environment: S3Environment
    ) throws(CredentialsFailure) -> SharedProfile? {
        let home = environment["HOME"] ?? ""
        let config = environment["AWS_CONFIG_FILE"] ?? "\(home)/.aws/config"
        let credentials = environment["AWS_SHARED_CREDENTIALS_FILE"] ?? "\(home)/.aws/credentials"
        let section = name == "default" ? [name, "profile \(name)"] : ["profile \(name)"]
        var found: [String: String]?
        for (path, names) in [(config, section), (credentials, [name])] {
            let sections = parse(try text(path))
            for values in names.compactMap({ sections[$0] }) {
                found = (found ?? [:]).merging(values) { _, new in new }
            }
        }
        return found.map { SharedProfile(name: name, values: $0) }
    }

    private static func text(_ path: String) throws(CredentialsFailure) -> String {
        do {
            return try SmallFile.text(path) ?? ""
        } catch {
            throw CredentialsFailure("\(error)")
        }
    }

    /// Sections of an INI file. Indented lines belong to settings that have no use here and are left out.
    static func parse(_ text: String) -> [String: [String: String]] {
        var sections: [String: [String: String]] = [:]
        var current: String?
        for line in text.split(whereSeparator: \.isNewline) where line.first?.isWhitespace == false {
            let line = trimmingBlanks(line)
            if line.hasPrefix("#") || line.hasPrefix(";") { continue }
            if line.hasPrefix("["), let end = line.firstIndex(of: "]") {
                let name = line[line.index(after: line.startIndex)..<end]
                let section = name.split(whereSeparator: \.isWhitespace).joined(separator: " ")
                sections[section] = sections[section] ?? [:]
                current = section
            } else if let current, let sign = line.firstIndex(of: "=") {
                let key = trimmingBlanks(line[..<sign]).lowercased()
                sections[current, default: [:]][key] = String(trimmingBlanks(line[line.index(after: sign)...]))
            }
        }
        return sections
    }
}

/// Credentials of a profile, read again at each load.
struct ProfileCredentials: CredentialsSource {
    let name: String
    let environment: S3Environment
    let services: CredentialServices

    func load() async throws(CredentialsFailure) -> Credentials {
        guard let profile = try SharedProfile.load(name, environment: environment) else {
            throw CredentialsFailure(
                "the profile \"\(name)\" is in neither ~/.aws/config nor ~/.aws/credentials "
                    + "(or the files that AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name)")
        }
        if let role = profile["role_arn"] {
            guard let tokenFile = profile["web_identity_token_file"] else {
                throw CredentialsFailure(
                    "the profile \"\(name)\" takes a role without web_identity_token_file, which is not supported; "
                        + "name a profile that has keys")
            }
            let session = profile["role_session_name"]
            return try await WebIdentityCredentials(
                role: role, tokenFile: tokenFile, session: session, services: services
            ).load()
        }
        guard let id = profile["aws_access_key_id"], let secret = profile["aws_secret_access_key"] else {
            throw CredentialsFailure(
                "the profile \"\(name)\" has no aws_access_key_id and aws_secret_access_key; "
                    + "credential_process and sso are not supported")
        }
        return Credentials(
            accessKeyID: id, secretAccessKey: S3Secret(secret),
            sessionToken: profile["aws_session_token"].map { S3Secret($0) }, origin: "profile \(name)")
    }
}
