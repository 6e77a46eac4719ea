import T4Core

/// Who may do what.
extension SettingDefinition {
    static let auth = [
        SettingDefinition(
            "auth.enabled", flag: "auth-enabled", \.auth.isEnforced,
            "Whether requests are checked once authentication is turned on in the database, which clients do "
                + "(etcdctl auth enable). With false everybody may do everything, whatever the database says."),
        SettingDefinition(
            "auth.tokens", flag: "auth-token", \.auth.tokens,
            "What proves a login: \"simple\" for a token that the database remembers, or as with etcd "
                + "\"jwt,sign-method=METHOD,pub-key=FILE,priv-key=FILE,ttl=DURATION\" for JSON Web Tokens. Methods: "
                + SigningMethod.allCases.map(\.rawValue).joined(separator: ", ")
                + ". Keys are in PEM format; for HS256, HS384 and HS512 the bytes of priv-key are the secret. With "
                + "pub-key alone tokens of others are taken and none are made. Without ttl a token lives 5 minutes."),
        SettingDefinition(
            "auth.token_ttl", flag: "token-ttl", \.auth.tokenTTL, unitOfPlainNumber: "s",
            aliases: [
                Alias(
                    flag: "auth-token-ttl", isSwitch: false, summary: "As --token-ttl, which etcd calls so.",
                    translate: { text throws(Refusal) in text })
            ], check: within(.seconds(1)...(.seconds(30 * 86_400))),
            "How long a login with a simple token lasts after its last use."),
        SettingDefinition(
            "auth.bcrypt_cost", flag: "bcrypt-cost", \.auth.bcryptCost, check: within(4...20),
            "Cost of the hashes of passwords. One more doubles the time of a login, and of guessing."),
    ]
}
