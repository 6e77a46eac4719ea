import T4Protocols

/// A request to the bucket, before it is signed.
struct S3Request: Sendable {
    var method: HTTPMethod
    /// Nil for the bucket itself.
    var key: ObjectKey?
    var query: [QueryItem] = []
    /// Without `Host`, those of the signature and `Content-Length`.
    var headers: [HTTPHeader] = []
    var body: [UInt8] = []
    /// As in `HTTPRequest`.
    var mayRepeat = true
    /// Sends `Content-MD5`, where the operation wants it.
    var needsMD5 = false
    /// A 2xx answer is XML too, and may still tell of an error.
    var hasXMLAnswer = false
    /// Most bytes of the body of a 2xx answer.
    var bodySizeMax = 1 << 20

    /// What is done, for messages: `get wal/1`.
    var description: String { "\(method.rawValue.lowercased()) \(key?.rawValue ?? "of the bucket")" }
}

/// An answer of the service, whatever its status, with the error that its body may tell of.
struct S3Answer: Sendable {
    let response: HTTPResponse
    /// The root of the body, where XML is expected and there is some.
    let document: XMLElement?

    init(_ response: HTTPResponse, to request: S3Request) {
        self.response = response
        // The bytes of an object are not looked at: they could be XML as well.
        document = !response.isSuccess || request.hasXMLAnswer ? XMLElement(parsing: response.body) : nil
    }

    private var error: XMLElement? { document.flatMap { $0.name == "Error" ? $0 : nil } }

    var status: Int { response.status }
    /// False also for an error below a status of 200.
    var isSuccess: Bool { response.isSuccess && error == nil }
    /// S3's name for the error: `NoSuchKey`.
    var code: String? { error?["Code"]?.text }
    /// S3's sentence about it.
    var message: String? { error?["Message"]?.text }
    /// The region that the bucket is in, if the answer names it.
    var region: String? { response.headers["x-amz-bucket-region"] ?? error?["Region"]?.text }
    /// The host that the request should go to, if the answer names it.
    var redirectHost: String? {
        if let location = response.headers["location"], let start = location.firstRange(of: "//") {
            return String(location[start.upperBound...].prefix { $0 != "/" && $0 != "?" })
        }
        return error?["Endpoint"]?.text
    }

    /// Status, code and message, for errors.
    var summary: String {
        var text = "the service answered \(status)"
        if let code { text += " \(code)" }
        if let message, !message.isEmpty { text += ": \(message)" }
        return text
    }
}

/// A request that got no answer.
enum S3Failure: Error, Sendable {
    case transport(TransportFailure)
    case credentials(CredentialsFailure)
}
