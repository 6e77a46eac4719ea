/// Limits and times of a client.
public struct RPCClientConfiguration: Sendable {
    /// Largest answer, in bytes; a larger one fails with RESOURCE_EXHAUSTED. 2 GiB - 1.
    public var messageSizeMax = Int(Int32.max)
    /// Time for the connection to be established, and once more for a TLS handshake. 5 s.
    public var connectTimeout: Duration = .seconds(5)
    /// Bytes of one streaming call that wait to be sent at which `isWritable` turns false. 256 KiB.
    public var pendingBytesHigh = 256 * 1024
    /// Flow-control window of each stream for received data, in bytes; 64 KiB ... 1 GiB. 1 MiB.
    public var streamWindow = 1024 * 1024
    /// Flow-control window of the connection for received data, in bytes; 64 KiB ... 1 GiB. 16 MiB.
    public var connectionWindow = 16 * 1024 * 1024
    /// Largest header list of an answer as the server is told, in bytes. 64 KiB.
    public var headerListSizeMax = 64 * 1024
    /// Time without received bytes after which the server is pinged; nil: never. Servers punish pings that come too
    /// often: 5 s is the least for etcd and t4. nil.
    public var keepaliveTime: Duration?
    /// Time for the answer; after it the connection is given up. 20 s.
    public var keepaliveTimeout: Duration = .seconds(20)
    /// What TLS is spoken with; nil: none.
    public var tls: RPCClientTLS?
    /// Sent with every call, beside what the call brings: names in lower case, and values.
    public var metadata: [(String, String)] = []
    /// Sent as `user-agent`.
    public var userAgent = "t4-rpc"

    /// The defaults.
    public init() {}

    var connectionSettings: ConnectionSettings {
        ConnectionSettings(
            streamWindow: streamWindow, connectionWindow: connectionWindow, concurrentStreamsMax: 0,
            headerListSizeMax: headerListSizeMax, pendingBytesHigh: pendingBytesHigh, outputBytesMax: .max,
            answerBytesCounted: .max, resetsBurst: 0, resetsPerSecond: 0, keepaliveTime: keepaliveTime?.nanoseconds,
            keepaliveTimeout: keepaliveTimeout.nanoseconds)
    }
}
