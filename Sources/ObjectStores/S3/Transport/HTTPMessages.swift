/// One header line of a request.
struct HTTPHeader: Sendable, Equatable {
    var name: String
    var value: String

    init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// What a request asks for.
enum HTTPMethod: String, Sendable {
    case get = "GET"
    case head = "HEAD"
    case put = "PUT"
    case post = "POST"
    case delete = "DELETE"
}

/// One request, complete with all its headers but `Content-Length`.
struct HTTPRequest: Sendable {
    var method: HTTPMethod
    /// Percent-encoded; sent byte for byte.
    var url: String
    var headers: [HTTPHeader] = []
    var body: [UInt8] = []
    /// Sending it twice does what sending it once does.
    ///
    /// libcurl repeats a request by itself when a kept connection turns out to be dead. A conditional put must not be
    /// repeated so: the second one could be refused because of the success of the first.
    var mayRepeat: Bool
    /// Most bytes of the body of a 2xx answer.
    var bodySizeMax: Int
    /// Instead of the transport's own; for services beside the store.
    var timeouts: HTTPTimeouts?
    /// Sent directly, whatever proxy the environment names.
    var bypassesProxy = false
}

/// How long a request may take.
struct HTTPTimeouts: Sendable {
    /// Until there is a connection, TLS included.
    var connect: Duration
    /// Without a byte in either direction; whole seconds, at least one.
    var stall: Duration
    /// From its handing over to its last byte.
    var total: Duration
}

/// What came back.
struct HTTPResponse: Sendable {
    var status: Int
    /// By lower-case name; a repeated header keeps its last value.
    var headers: [String: String]
    var body: [UInt8]

    var isSuccess: Bool { (200..<300).contains(status) }
}

/// A request that got no whole answer.
struct TransportFailure: Error, Sendable, CustomStringConvertible {
    enum Reason: Sendable {
        /// No connection, or it broke, or the other side does not speak HTTP.
        case broken
        /// One of the timeouts passed.
        case timedOut
        /// The answer is larger than the request allowed.
        case tooLarge
        /// More requests are waiting than the transport queues.
        case queueFull
        /// The task was cancelled.
        case cancelled
        /// The transport was closed.
        case closed
    }

    var reason: Reason
    /// A byte of the request may have reached the other side, so it may have had its effect or have it yet.
    var wasSent: Bool
    var description: String
}
