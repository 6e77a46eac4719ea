/// Who may do what.
extension SettingDefinition {
    static let auth = [
        SettingDefinition(
            "auth.enabled", flag: "auth-enabled", \.auth.isEnforced,
            "Whether requests are checked once authentication is turned on in the database, which clients do "
                + "(etcdctl auth enable). With false everybody may do everything, whatever the database says."),
        SettingDefinition(
            "auth.token_ttl", flag: "token-ttl", \.auth.tokenTTL, unitOfPlainNumber: "s",
            aliases: [
                Alias(
                    flag: "auth-token-ttl", isSwitch: false, summary: "As --token-ttl, which etcd calls so.",
                    translate: { text throws(Refusal) in text })
            ], check: within(.seconds(1)...(.seconds(30 * 86_400))),
            "How long a login lasts after its last use."),
        SettingDefinition(
            "auth.bcrypt_cost", flag: "bcrypt-cost", \.auth.bcryptCost, check: within(4...20),
            "Cost of the hashes of passwords. One more doubles the time of a login, and of guessing."),
    ]
}
