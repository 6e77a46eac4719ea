/// What both sides of a connection are set up with.
struct ConnectionSettings: Sendable {
    var streamWindow: Int
    var connectionWindow: Int
    var concurrentStreamsMax: Int
    var headerListSizeMax: Int
    var pendingBytesHigh: Int
    /// Bytes in the queues of all calls at which the connection counts as full.
    var outputBytesMax: Int
    /// Bytes of one answer that count at most in the loop's memory.
    var answerBytesCounted: Int
    /// Burst and refill per second of stream resets by the peer (servers only).
    var resetsBurst: Int
    var resetsPerSecond: Int
    /// Idle time after which a ping is sent; nil: never. In nanoseconds.
    var keepaliveTime: Int64?
    /// How long the answer may take, in nanoseconds.
    var keepaliveTimeout: Int64
}
