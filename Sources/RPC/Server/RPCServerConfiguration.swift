/// Limits and times of a server. The defaults suit an etcd-like service.
public struct RPCServerConfiguration: Sendable {
    /// Largest request message, in bytes; a larger one is refused unread with RESOURCE_EXHAUSTED. 2 MiB.
    public var messageSizeMax = 1536 * 1024 + 512 * 1024
    /// The same as JSON, in which base64 and names take their room: the largest body of a request that is no gRPC, and the
    /// largest frame of a WebSocket.
    package var textSizeMax: Int { 2 * messageSizeMax + 64 * 1024 }
    /// Calls that may be open on one connection; further streams are refused. 65,536.
    public var concurrentStreamsMax = 65_536
    /// Connections that may be open; further ones are closed as soon as they are accepted. 10,000.
    public var connectionsMax = 10_000
    /// Size of a request's header list as HTTP/2 counts it (32 bytes for each field on top), in bytes. A stream that
    /// goes over is reset. 64 KiB.
    public var headerListSizeMax = 64 * 1024
    /// Requests of one connection that are not yet complete, in bytes altogether; calls that go over fail with
    /// RESOURCE_EXHAUSTED. 128 MiB.
    public var requestBytesMax = 128 * 1024 * 1024
    /// Answers of one connection that wait because the client does not read, in bytes altogether. Beyond it
    /// `isWritable` of its streaming calls is false and its unary requests wait, until half has left. 16 MiB.
    public var outputBytesMax = 16 * 1024 * 1024
    /// Incomplete requests and unread answers of all connections, in bytes; of one large answer `outputBytesMax` counts,
    /// and at most an eighth of this. Beyond half of it unary requests of clients that leave answers unread wait, and
    /// connections are closed (GOAWAY) where more than `pendingBytesHigh` waits and next to nothing of it moves for `stallTime`.
    /// Beyond all of it requests wait, and connections are closed that would take a minute for what they hold, or that
    /// hold the most of requests if these alone are more than half. 512 MiB.
    public var bufferedBytesMax = 512 * 1024 * 1024
    /// See `bufferedBytesMax`; a second or more. 5 s.
    public var stallTime: Duration = .seconds(5)
    /// Streams that may be open on all connections; calls beyond it fail with RESOURCE_EXHAUSTED. 262,144.
    public var openStreamsMax = 262_144
    /// Bytes of one streaming call that wait to be sent at which `isWritable` turns false. 256 KiB.
    public var pendingBytesHigh = 256 * 1024
    /// Flow-control window of each stream for received data, in bytes; 64 KiB ... 1 GiB. 1 MiB.
    public var streamWindow = 1024 * 1024
    /// Flow-control window of each connection for received data, in bytes; 64 KiB ... 1 GiB. 16 MiB.
    public var connectionWindow = 16 * 1024 * 1024

    /// Resets of streams by the client that are allowed in one go; beyond it the connection is closed (GOAWAY). This
    /// bounds the work of clients that open and reset streams in a loop. 10,000.
    public var resetsBurst = 10_000
    /// Resets that the allowance regains each second. 1,000.
    public var resetsPerSecond = 1_000
    /// Frames that ask for nothing (SETTINGS, PRIORITY, DATA without data) or that are invalid, and
    /// streams that the server resets for what the client did, allowed in one go; beyond it the connection is closed
    /// (GOAWAY). 10,000.
    public var uselessFramesBurst = 10_000
    /// What that allowance regains each second. 1,000.
    public var uselessFramesPerSecond = 1_000

    /// Time without received bytes after which the client is pinged; nil: never. Two hours.
    public var keepaliveTime: Duration? = .seconds(2 * 60 * 60)
    /// Time for the answer; after it the connection is closed. 20 s.
    public var keepaliveTimeout: Duration = .seconds(20)
    /// Pings of a client that follow each other sooner are strikes, unless an answer was sent in between. 5 s.
    public var pingIntervalMin: Duration = .seconds(5)
    /// A ping soon after the last is a strike on a connection without calls, too, only if it comes within
    /// `pingIntervalMin` (true), or if it comes within two hours (false). True.
    public var permitsPingsWithoutCalls = true
    /// Strikes that are forgiven; one more is answered with GOAWAY ENHANCE_YOUR_CALM "too_many_pings". 2.
    public var pingStrikesMax = 2
    /// Time in which a new connection must show its protocol and, with HTTP/2, send its settings. 20 s.
    public var handshakeTimeout: Duration = .seconds(20)
    /// Time in which the headers of a request must have come, a unary request must have come whole, and each message
    /// of a stream, once begun. A call that takes longer fails with DEADLINE_EXCEEDED, and headers that do end the
    /// connection; up to a quarter of the time later. 60 s.
    public var requestTimeout: Duration = .seconds(60)
    /// Each kind of fault of clients is told of in the log once in so long. 10 s.
    package var faultLogInterval: Duration = .seconds(10)

    /// What TLS is spoken with; nil: none, connections are plain. With TLS no connection is.
    public var tls: RPCServerTLS?
    /// Request metadata that `ServerCall.metadata` can tell; lower case, at most 63 bytes each.
    public var metadataKeys = ["token", "authorization", "hasleader", "client-api-version", "grpcgateway-accept"]
    /// At a shutdown: how long a client may take to answer that it has been told. Calls that it begins before are served,
    /// later ones are refused. 1 s.
    public var shutdownNoticeTime: Duration = .seconds(1)
    /// What streaming calls end with at shutdown, and calls that come too late.
    public var shutdownStatus = RPCStatus(.unavailable, "server is shutting down")

    /// Hears of unary calls that take long; nil: nobody does.
    package var slowCalls: SlowCalls?

    /// Answers connections whose first bytes are not HTTP/2 but a plain HTTP/1 request, and behind TLS what is no gRPC. nil:
    /// clients of HTTP/1 are told by a text answer that this port speaks HTTP/2, and the connection is closed.
    package var http: (any HTTPService)?

    /// The defaults.
    public init() {}

    var connectionSettings: ConnectionSettings {
        ConnectionSettings(
            streamWindow: streamWindow, connectionWindow: connectionWindow,
            concurrentStreamsMax: concurrentStreamsMax, headerListSizeMax: headerListSizeMax,
            pendingBytesHigh: pendingBytesHigh, outputBytesMax: outputBytesMax,
            answerBytesCounted: min(outputBytesMax, bufferedBytesMax / 8), resetsBurst: resetsBurst,
            resetsPerSecond: resetsPerSecond, keepaliveTime: keepaliveTime?.nanoseconds,
            keepaliveTimeout: keepaliveTimeout.nanoseconds)
    }
}

extension Duration {
    /// Whole nanoseconds, saturating.
    var nanoseconds: Int64 { Int64(clamping: attoseconds / 1_000_000_000) }
}
