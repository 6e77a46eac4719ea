public import T4Protocols

extension S3Settings {
    /// The keys for help and documents.
    public static let descriptions = place + past + credentials + requests

    private static let place = [
        SettingDescription(
            "bucket", value: "NAME", defaultText: "required",
            "The bucket, which must exist. As a flag or a variable it "
                + "chooses the store s3."),
        SettingDescription(
            "endpoint", value: "URL", defaultText: "AWS, in the region",
            "http(s)://HOST or http(s)://HOST:PORT of a service other than AWS."),
        SettingDescription(
            "region", value: "NAME", defaultText: "that of the environment or the profile, else us-east-1",
            "Region for signatures, and of the endpoint at AWS. A wrong one is corrected when the service names the right "
                + "one."),
        SettingDescription(
            "addressing", value: "auto|path|virtual", defaultTOML: "\"auto\"",
            "Whether the bucket stands in the path or in the host's name. \"auto\": in the name at AWS, if the bucket has "
                + "no dot, else in the path."),
        SettingDescription(
            "ca_file", value: "FILE", defaultText: "those of the system",
            "PEM file of the certificate authorities to trust."),
    ]

    private static let past = [
        SettingDescription(
            "as_of", value: "TIME", defaultText: "what is there now", isNeverEmpty: true,
            "Shows a bucket that keeps versions as it was at this time, written as RFC 3339 has it: 2024-06-01T12:00:00Z. "
                + "For commands that only read, `t4 restore` for instance; others refuse it.")
    ]

    private static let credentials = [
        SettingDescription(
            "profile", value: "NAME", defaultText: "none", "A profile of the shared AWS files."),
        SettingDescription(
            "access_key_id", value: "TEXT", defaultText: "the credentials that AWS tools find as well",
            "Access key, with secret_access_key_file or secret_access_key."),
        SettingDescription(
            "secret_access_key_file", value: "FILE", defaultText: "none", "A file with the secret key and nothing else."
        ),
        SettingDescription(
            "secret_access_key", value: "TEXT", defaultText: "none",
            "The secret key itself. The file is the better place: other users of the machine can read flags."),
        SettingDescription(
            "anonymous", value: "true|false", defaultTOML: "false", "Requests without a signature, for public buckets."),
    ]

    private static let requests = [
        SettingDescription(
            "max_connections", value: "NUMBER", defaultTOML: "64",
            "Requests on their way at once: 1 ... 1024. Others wait in order."),
        SettingDescription(
            "connect_timeout", value: "DURATION", defaultTOML: "\"5s\"",
            "Time until there is a connection, TLS included."),
        SettingDescription(
            "stall_timeout", value: "DURATION", defaultTOML: "\"20s\"",
            "A request without a byte in either direction for so long, in whole seconds, has failed."),
        SettingDescription(
            "request_timeout", value: "DURATION", defaultTOML: "\"2m\"",
            "Time for one request, waiting for a connection included."),
        SettingDescription(
            "multipart_threshold", value: "SIZE", defaultTOML: "\"64MiB\"",
            "Larger bodies are sent in parts; smaller ones are held in memory while they are sent."),
        SettingDescription(
            "part_size", value: "SIZE", defaultTOML: "\"16MiB\"",
            "Size of a part: \"5MiB\" ... \"1GiB\". Four parts are sent, and held in memory, at once."),
        SettingDescription(
            "unsigned_payload", value: "true|false", defaultTOML: "false",
            "Leaves bodies out of the signature and sends Content-MD5 instead; https only. Some services refuse it."),
        SettingDescription(
            "unquoted_etags", value: "true|false", defaultTOML: "false",
            "Sends versions back without their quotes, for services that want them so."),
    ]
}
