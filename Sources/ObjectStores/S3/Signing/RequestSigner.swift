/// Signs requests by AWS Signature Version 4.
struct RequestSigner: Sendable {
    /// Stands for the hash of a body that the signature leaves out; for encrypted connections only.
    static let unsignedPayload = "UNSIGNED-PAYLOAD"

    var credentials: Credentials
    var region: String
    /// `s3`, but for tests.
    var service: String

    /// The value of the `Authorization` header.
    /// - Parameters:
    ///   - path: Encoded, as it is sent.
    ///   - query: Encoded and sorted, as it is sent.
    ///   - headers: All that are to be signed; `Host` and every `x-amz-` header among them.
    ///   - payloadHash: Of the body, in hexadecimal, or `unsignedPayload`.
    func authorization(
        _ method: HTTPMethod, path: String, query: String, headers: [HTTPHeader], payloadHash: String, at time: UTCTime
    ) -> String {
        let sorted = headers.map { ($0.name.lowercased(), Self.canonical($0.value)) }.sorted { $0.0 < $1.0 }
        let names = sorted.map(\.0).joined(separator: ";")
        var lines = [method.rawValue, path, query]
        lines += sorted.map { "\($0.0):\($0.1)" }
        lines += ["", names, payloadHash]
        let scope = "\(time.basicDay)/\(region)/\(service)/aws4_request"
        let toSign = [
            "AWS4-HMAC-SHA256", time.basicText, scope, hex(Digests.sha256(Array(lines.joined(separator: "\n").utf8))),
        ]
        let signature = hex(Digests.hmacSHA256(key: key(day: time.basicDay), toSign.joined(separator: "\n")))
        return "AWS4-HMAC-SHA256 Credential=\(credentials.accessKeyID)/\(scope), SignedHeaders=\(names), "
            + "Signature=\(signature)"
    }

    /// The key of one day, region and service.
    func key(day: String) -> [UInt8] {
        [region, service, "aws4_request"].reduce(
            Digests.hmacSHA256(key: Array("AWS4\(credentials.secretAccessKey.revealed)".utf8), day)
        ) { Digests.hmacSHA256(key: $0, $1) }
    }

    /// Blanks at the ends left out, runs of blanks made one.
    private static func canonical(_ value: String) -> String {
        value.split(separator: " ").joined(separator: " ")
    }
}
