import T4Protocols

/// Where the requests of a bucket go, and how they name it.
struct S3Endpoint: Hashable, Sendable {
    let isEncrypted: Bool
    /// With the port, if it is not the scheme's own.
    let host: String
    let bucket: String
    /// The bucket is part of the path, not of the host's name.
    let isPathStyle: Bool
    /// Belongs to AWS, which wants the host of the right region.
    let isAWS: Bool

    /// - Throws: `.invalidArgument` for a bucket or an endpoint that is none.
    init(_ settings: S3Settings, region: String) throws(ObjectStoreError) {
        bucket = settings.bucket
        guard (1...255).contains(bucket.utf8.count), bucket.utf8.allSatisfy(Self.isNamePart), bucket != "..",
            bucket != "."
        else {
            throw ObjectStoreError(.invalidArgument, "\"\(bucket)\" is no name of a bucket")
        }
        guard !region.isEmpty, region.utf8.allSatisfy(Self.isNamePart) else {
            throw ObjectStoreError(.invalidArgument, "\"\(region)\" is no region")
        }
        let service: String
        if let endpoint = settings.endpoint {
            let (isEncrypted, authority) = try Self.parse(endpoint)
            self.isEncrypted = isEncrypted
            service = authority
            isAWS = authority.hasSuffix(".amazonaws.com") || authority.hasSuffix(".amazonaws.com.cn")
        } else {
            isEncrypted = true
            service = "s3.\(region).\(Self.domain(ofRegion: region))"
            isAWS = true
        }
        switch settings.addressing {
        case .path: isPathStyle = true
        case .virtual: isPathStyle = false
        // A certificate for *.host does not cover a bucket name with a dot.
        case .auto: isPathStyle = !isAWS || bucket.contains(".")
        }
        host = isPathStyle ? service : "\(bucket).\(service)"
        guard isEncrypted || !settings.hasUnsignedPayload else {
            throw ObjectStoreError(.invalidArgument, "unsigned_payload needs an https endpoint")
        }
    }

    private init(_ other: S3Endpoint, host: String) {
        isEncrypted = other.isEncrypted
        self.host = host
        bucket = other.bucket
        isPathStyle = other.isPathStyle && !host.hasPrefix("\(other.bucket).")
        isAWS = other.isAWS
    }

    /// The same bucket at a host that this one redirects to; nil for one that is not AWS's, since the signed request
    /// would be handed to it.
    func redirected(to host: String) -> S3Endpoint? {
        let isSafe = host.utf8.allSatisfy(Self.isNamePart)
        guard isAWS, isSafe, host.hasSuffix(".amazonaws.com") || host.hasSuffix(".amazonaws.com.cn"), host != self.host
        else { return nil }
        return S3Endpoint(self, host: host)
    }

    /// The encoded path of an object, or of the bucket itself.
    func path(_ key: ObjectKey?) -> String {
        let name = key.map { PercentEncoding.encode($0.rawValue, keepingSlashes: true) } ?? ""
        return isPathStyle ? "/\(bucket)/\(name)" : "/\(name)"
    }

    /// An address with an encoded path and query.
    func url(path: String, query: String) -> String {
        "\(isEncrypted ? "https" : "http")://\(host)\(path)\(query.isEmpty ? "" : "?")\(query)"
    }

    /// The domain that the services of a region lie in.
    static func domain(ofRegion region: String) -> String {
        region.hasPrefix("cn-") ? "amazonaws.com.cn" : "amazonaws.com"
    }

    private static func isNamePart(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private static func parse(_ endpoint: String) throws(ObjectStoreError) -> (Bool, String) {
        for (scheme, port, isEncrypted) in [("https://", ":443", true), ("http://", ":80", false)] {
            guard endpoint.hasPrefix(scheme) else { continue }
            var rest = endpoint.dropFirst(scheme.count)
            if rest.hasSuffix("/") { rest.removeLast() }
            let allowed = { (byte: UInt8) in isNamePart(byte) || ":[]".utf8.contains(byte) }
            guard !rest.isEmpty, rest.utf8.allSatisfy(allowed) else { break }
            // Left out by every client, so that it is not in the signature either.
            if rest.hasSuffix(port) { rest.removeLast(port.count) }
            return (isEncrypted, rest.lowercased())
        }
        throw ObjectStoreError(
            .invalidArgument, "the endpoint \"\(endpoint)\" is not http(s)://HOST or http(s)://HOST:PORT")
    }
}
