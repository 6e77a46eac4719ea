public import T4Protocols

/// Settings of the `s3` object store, `[store.s3]`.
public struct S3Settings: Decodable, Sendable {
    /// How a request names the bucket; `addressing`.
    public enum Addressing: String, CaseIterable, Sendable {
        /// `virtual` at AWS for bucket names without a dot, `path` everywhere else.
        case auto
        /// `https://host/bucket/name`.
        case path
        /// `https://bucket.host/name`.
        case virtual
    }

    /// The bucket, which must exist; `bucket`, required.
    public var bucket: String
    /// `http(s)://host(:port)` of a service other than AWS; `endpoint`.
    public var endpoint: String?
    /// Region for signatures, and of the endpoint at AWS; `region`. Else that of `AWS_REGION`, `AWS_DEFAULT_REGION` or
    /// the profile, else `us-east-1`. A wrong one is corrected when the service names the right one.
    public var region: String?
    /// `addressing`, default `auto`.
    public var addressing = Addressing.auto
    /// `access_key_id`.
    public var accessKeyID: String?
    /// `secret_access_key`; the file is the better place.
    public var secretAccessKey: S3Secret?
    /// A file with the secret key alone in it; `secret_access_key_file`.
    public var secretAccessKeyFile: String?
    /// A profile of the shared AWS files; `profile`.
    public var profile: String?
    /// Requests without a signature, for public buckets; `anonymous`.
    public var isAnonymous = false
    /// PEM file of the certificate authorities to trust instead of the system's; `ca_file`.
    public var caFile: String?
    /// Files and bytes above this size are sent in parts; 5 MiB ... 5 GiB, at least `partSizeBytes`.
    /// `multipart_threshold`, default 64 MiB.
    ///
    /// A body below it is held in memory while it is sent.
    public var multipartThresholdBytes = 64 << 20
    /// Bytes of one part; 5 MiB ... 1 GiB; larger where an object would have more than 10 000. `part_size`, default
    /// 16 MiB. Four parts of an object are sent, and held in memory, at once.
    public var partSizeBytes = 16 << 20
    /// Requests on their way at once; 1 ... 1024. `max_connections`, default 64.
    public var connectionsMax = 64
    /// Until there is a connection; 10 ms ... 1 h. `connect_timeout`, default 5 s.
    public var connectTimeout = Duration.seconds(5)
    /// Without a byte in either direction; 1 s ... 1 h. `stall_timeout`, default 20 s.
    public var stallTimeout = Duration.seconds(20)
    /// For one request, waiting for a connection included; 10 ms ... 24 h. `request_timeout`, default 2 min.
    public var requestTimeout = Duration.seconds(120)
    /// Leaves bodies out of the signature, which saves a SHA-256; `unsigned_payload`, https endpoints only.
    ///
    /// `Content-MD5` guards the body then. Some services refuse it.
    public var hasUnsignedPayload = false
    /// Sends versions back without their quotes, for servers that want them so; `unquoted_etags`.
    public var hasUnquotedETags = false
    /// Shows the bucket as it was at this moment, read only; `as_of`, `S3PastStore`.
    public var asOf: Timestamp?

    /// The defaults for a bucket.
    public init(bucket: String) { self.bucket = bucket }

    private enum CodingKeys: String, CodingKey {
        case bucket, endpoint, region, addressing, profile, anonymous
        case accessKeyID = "access_key_id"
        case secretAccessKey = "secret_access_key"
        case secretAccessKeyFile = "secret_access_key_file"
        case caFile = "ca_file"
        case multipartThreshold = "multipart_threshold"
        case partSize = "part_size"
        case maxConnections = "max_connections"
        case connectTimeout = "connect_timeout"
        case stallTimeout = "stall_timeout"
        case requestTimeout = "request_timeout"
        case unsignedPayload = "unsigned_payload"
        case unquotedETags = "unquoted_etags"
        case asOf = "as_of"
    }

    /// Reads the keys that are there; sizes are bytes or texts such as `"16MiB"`, durations texts such as `"10s"`.
    /// - Throws: `DecodingError` that says which value is out of range, or which two do not go together.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        bucket = try values.decode(String.self, forKey: .bucket)
        endpoint = try values.decodeIfPresent(String.self, forKey: .endpoint)
        region = try values.decodeIfPresent(String.self, forKey: .region)
        try values.read(&addressing, oneOf: .addressing)
        accessKeyID = try values.decodeIfPresent(String.self, forKey: .accessKeyID)
        secretAccessKey = try values.decodeIfPresent(String.self, forKey: .secretAccessKey).map { S3Secret($0) }
        secretAccessKeyFile = try values.decodeIfPresent(String.self, forKey: .secretAccessKeyFile)
        profile = try values.decodeIfPresent(String.self, forKey: .profile)
        isAnonymous = try values.decodeIfPresent(Bool.self, forKey: .anonymous) ?? false
        caFile = try values.decodeIfPresent(String.self, forKey: .caFile)
        try values.read(&partSizeBytes, .partSize, sizeIn: (5 << 20)...(1 << 30))
        multipartThresholdBytes = max(multipartThresholdBytes, partSizeBytes)
        try values.read(&multipartThresholdBytes, .multipartThreshold, sizeIn: partSizeBytes...(5 << 30))
        try values.read(&connectionsMax, .maxConnections, in: 1...1024)
        connectTimeout =
            try values.duration(.connectTimeout, in: .milliseconds(10) ... .seconds(3600)) ?? connectTimeout
        stallTimeout = try values.duration(.stallTimeout, in: .seconds(1) ... .seconds(3600)) ?? stallTimeout
        requestTimeout =
            try values.duration(.requestTimeout, in: .milliseconds(10) ... .seconds(86_400)) ?? requestTimeout
        hasUnsignedPayload = try values.decodeIfPresent(Bool.self, forKey: .unsignedPayload) ?? false
        hasUnquotedETags = try values.decodeIfPresent(Bool.self, forKey: .unquotedETags) ?? false
        asOf = try values.moment(.asOf)
        try checkCredentials(values)
        try checkAddress(values)
    }

    private func checkCredentials(_ values: KeyedDecodingContainer<CodingKeys>) throws {
        let secrets = [secretAccessKey != nil, secretAccessKeyFile != nil].count { $0 }
        if secrets > 1 {
            throw values.failure(.secretAccessKey, "secret_access_key and secret_access_key_file exclude each other")
        }
        if (accessKeyID != nil) != (secrets == 1) {
            throw values.failure(
                .accessKeyID, "access_key_id and secret_access_key_file (or secret_access_key) need each other")
        }
        if [accessKeyID != nil, profile != nil, isAnonymous].count(where: { $0 }) > 1 {
            throw values.failure(.profile, "access_key_id, profile and anonymous exclude each other")
        }
    }

    private func checkAddress(_ values: KeyedDecodingContainer<CodingKeys>) throws {
        do throws(ObjectStoreError) {
            _ = try S3Endpoint(self, region: region ?? "us-east-1")
        } catch {
            throw values.failure(endpoint == nil ? .bucket : .endpoint, error.description)
        }
    }
}

extension KeyedDecodingContainer {
    fileprivate func duration(_ key: Key, in range: ClosedRange<Duration>) throws -> Duration? {
        guard contains(key) else { return nil }
        let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]
        let duration = Duration.milliseconds(try number(key, units: units, kind: "a duration such as 250ms or 10s"))
        guard range.contains(duration) else {
            throw failure(key, "\(duration) is not between \(range.lowerBound) and \(range.upperBound)")
        }
        return duration
    }

    /// A time; nil when there is none.
    fileprivate func moment(_ key: Key) throws -> Timestamp? {
        guard let text = try decodeIfPresent(String.self, forKey: key) else { return nil }
        if text.isEmpty {
            throw failure(
                key,
                "it is empty; leave it out where the present is meant, or write a time such as 2024-06-01T12:00:00Z")
        }
        guard let moment = Timestamp(text) else {
            throw failure(key, "\"\(text)\" is not a time such as 2024-06-01T12:00:00Z or 2024-06-01T14:00:00+02:00")
        }
        return moment
    }

    /// A whole number and a unit, in the smallest unit's terms.
    private func number(_ key: Key, units: [(name: String, size: Int)], kind: String) throws -> Int {
        let text = try decode(String.self, forKey: key)
        for unit in units where text.hasSuffix(unit.name) {
            if let number = Int(text.dropLast(unit.name.count)) {
                let (product, overflows) = number.multipliedReportingOverflow(by: unit.size)
                if !overflows { return product }
            }
        }
        throw failure(key, "\"\(text)\" is not \(kind)")
    }
}
