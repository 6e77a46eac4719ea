import Synchronization

/// A method as one client calls it: its header fields are made once. From `RPCClient.method`.
public final class RPCMethod: Sendable {
    /// The path, as `/etcdserverpb.KV/Range`.
    public let path: String
    let fields: StaticHeaderFields

    init(path: String, scheme: String, authority: String, configuration: RPCClientConfiguration) {
        self.path = path
        let known = [
            (":method", "POST"), (":scheme", scheme), (":path", path), (":authority", authority),
            ("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", configuration.userAgent),
        ]
        fields = StaticHeaderFields(known + configuration.metadata)
    }

    deinit { fields.free() }
}

/// The methods that a client has called; kept until its connection is gone, because nghttp2 does not copy them.
final class ClientMethods: Sendable {
    private let scheme: String
    private let authority: String
    private let configuration: RPCClientConfiguration
    private let byPath = Mutex<[String: RPCMethod]>([:])

    init(authority: String, configuration: RPCClientConfiguration) {
        scheme = configuration.tls == nil ? "http" : "https"
        self.authority = authority
        self.configuration = configuration
    }

    func method(_ path: String) -> RPCMethod {
        byPath.withLock { byPath in
            if let known = byPath[path] { return known }
            let made = RPCMethod(path: path, scheme: scheme, authority: authority, configuration: configuration)
            byPath[path] = made
            return made
        }
    }
}
