extension SettingDefinition {
    /// Every setting, in the order in which help and documents show them.
    public static let all: [SettingDefinition] =
        node + log + engine + store + wal + checkpoint + branch + restore + server + clientTLS + peer + election
        + replica + watch
        + lease
        + compaction + auth + commit

    private static let node = [
        SettingDefinition(
            "node.id", flag: "node-id", \.node.id, placeholder: "NAME",
            machineDefault: ("the host's name", quoted("node-a")),
            check: isNodeName, "Name of this node, shown in member lists and logs."),
        SettingDefinition(
            "node.data_dir", flag: "data-dir", \.node.dataDirectory, placeholder: "DIRECTORY", check: isText,
            "Directory of everything t4 keeps on this machine. It is created when it is missing."),
        SettingDefinition(
            "node.listen", flag: "listen", \.node.listen,
            "Address on which etcd clients connect. Port 0 lets the system choose one."),
    ]

    private static let log = [
        SettingDefinition(
            "log.level", flag: "log-level", \.log.level, isReloadable: true,
            "The least important messages that are written to standard error."),
        SettingDefinition(
            "log.format", flag: "log-format", \.log.format, isReloadable: true,
            "How a message looks: a line of text or a JSON object."),
        SettingDefinition(
            "log.slow_request", flag: "log-slow-request", \.log.slowRequest,
            aliases: ["warning-unary-request-duration", "experimental-warning-unary-request-duration"].map {
                Alias(
                    flag: $0, isSwitch: false, summary: "As --log-slow-request, by a name of etcd.",
                    translate: { text throws(Refusal) in text })
            }, isReloadable: true, check: withinOrZero(.milliseconds(1)...(.seconds(3600))),
            "A request that takes so long is told of in a warning, with its RPC, sizes and duration but no key and no "
                + "value. \"0s\" tells of none."),
    ]

    private static let engine = [
        SettingDefinition(
            "engine.type", flag: "engine", \.engine.type, placeholder: "NAME", check: isText,
            "The local engine. Its own settings stand in a table of its name, [engine.lmdb] for instance.")
    ]

    private static let server = [
        SettingDefinition(
            "server.max_request_bytes", flag: "max-request-bytes", \.server.requestSizeMax,
            check: within(.kibibytes(1)...(.mebibytes(32))), "Largest request of a client."),
        SettingDefinition(
            "server.max_txn_operations", flag: "max-txn-ops", \.server.txnOperationsMax, check: within(1...1_000_000),
            "Most compares, and most operations of each branch, of one transaction."),
        SettingDefinition(
            "server.max_concurrent_streams", flag: "max-concurrent-streams", \.server.concurrentStreamsMax,
            check: within(1...Int(Int32.max)), "Most requests and watches that one connection may have open at once."),
        SettingDefinition(
            "server.max_open_streams", flag: "max-open-streams", \.server.openStreamsMax,
            check: within(1...Int(Int32.max)),
            "Most requests and watches that all connections together may have open. Further ones are refused."),
        SettingDefinition(
            "server.max_connections", flag: "max-connections", \.server.connectionsMax, check: within(1...1_000_000),
            "Most client connections at once. Fewer where the system gives the process too few file descriptors."),
        SettingDefinition(
            "server.max_header_bytes", flag: "max-header-bytes", \.server.headerListSizeMax,
            check: within(.kibibytes(4)...(.mebibytes(1))), "Largest headers of a request."),
        SettingDefinition(
            "server.max_unread_bytes", flag: "max-unread-bytes", \.server.unreadBytesMax,
            check: within(.kibibytes(256)...(.mebibytes(1024))),
            "Most bytes of answers that one connection leaves unread. Beyond it its requests wait and its watches lag."),
        SettingDefinition(
            "server.max_incomplete_bytes", flag: "max-incomplete-bytes", \.server.incompleteBytesMax,
            check: within(.mebibytes(1)...(.mebibytes(16_384))),
            "Most bytes of requests of one connection that have not come whole, or wait. Further ones are refused."),
        SettingDefinition(
            "server.max_buffered_bytes", flag: "max-buffered-bytes", \.server.bufferedBytesMax,
            check: within(.mebibytes(8)...(.mebibytes(65_536))),
            "Most bytes of both on all connections. Beyond it connections that hold much for long are closed."),
        SettingDefinition(
            "server.max_resets_per_second", flag: "max-resets-per-second", \.server.resetsPerSecond,
            check: within(1...1_000_000),
            "How often a client may reset requests, ten times that in one go. Beyond it the connection is closed."),
        SettingDefinition(
            "server.max_control_frames_per_second", flag: "max-control-frames-per-second",
            \.server.controlFramesPerSecond, check: within(1...1_000_000),
            "How many HTTP/2 frames that ask for nothing a client may send, ten times that in one go. As above."),
        SettingDefinition(
            "server.handshake_timeout", flag: "handshake-timeout", \.server.handshakeTimeout,
            check: within(.milliseconds(100)...(.seconds(3600))),
            "A connection that neither speaks HTTP/2 nor sends a request of HTTP/1 within this time is closed."),
        SettingDefinition(
            "server.request_timeout", flag: "request-timeout", \.server.requestTimeout,
            check: within(.milliseconds(100)...(.seconds(86_400))),
            "A request that does not arrive whole within this time fails."),
        SettingDefinition(
            "server.threads", flag: "threads", \.server.threads, check: withinOrZero(1...1024),
            "Threads that serve connections; 0 chooses by the number of processors."),
        SettingDefinition(
            "server.keepalive_min_time", flag: "grpc-keepalive-min-time", \.server.keepaliveTimeMin,
            check: withinOrZero(.milliseconds(1)...(.seconds(86_400))),
            "A client that pings more often than this is cut off; \"0s\" allows any rate."),
        SettingDefinition(
            "server.keepalive_interval", flag: "grpc-keepalive-interval", \.server.keepaliveInterval,
            check: within(.seconds(1)...(.seconds(30 * 86_400))), "A connection that is silent for so long is pinged."),
        SettingDefinition(
            "server.keepalive_timeout", flag: "grpc-keepalive-timeout", \.server.keepaliveTimeout,
            check: within(.milliseconds(100)...(.seconds(3600))),
            "A ping that stays unanswered for so long ends the connection."),
        SettingDefinition(
            "server.keepalive_permit_without_stream", flag: "grpc-keepalive-permit-without-stream",
            \.server.keepalivePermitWithoutStream, "Whether clients may ping while they have no request open."),
        SettingDefinition(
            "server.quota_backend_bytes", flag: "quota-backend-bytes", \.server.quota,
            "Size of the data in the engine at which the NOSPACE alarm is raised, and puts are refused until it is "
                + "disarmed. 0 or less is no limit; with etcd 0 is 2 GiB."),
        SettingDefinition(
            "server.corrupt_check_interval", flag: "corrupt-check-time", \.server.corruptCheckInterval,
            aliases: [
                Alias(
                    flag: "experimental-corrupt-check-time", isSwitch: false,
                    summary: "As --corrupt-check-time, by the name of etcd 3.5.",
                    translate: { text throws(Refusal) in text })
            ], check: withinOrZero(.seconds(1)...(.seconds(3650 * 86_400))),
            "How often all rows of the engine are read and compared with their digest, the first time right after the "
                + "start. Where they differ the CORRUPT alarm is raised, and writes are refused until it is disarmed. "
                + "\"0s\" never does it."),
    ]

    private static let watch = [
        SettingDefinition(
            "watch.progress_interval", flag: "watch-progress-notify-interval", \.watch.progressInterval,
            check: within(.milliseconds(100)...(.seconds(86_400))),
            "How often an idle watch that asks for progress is told the current revision."),
        SettingDefinition(
            "watch.max_watches", flag: "max-watches", \.watch.watchesMax, check: within(1...Int(Int32.max)),
            "Most watches at once. Further ones are refused."),
    ]

    private static let lease = [
        SettingDefinition(
            "lease.min_ttl", flag: "lease-min-ttl", \.lease.ttlMin, check: isLeaseTTL,
            "Shortest time to live of a lease, in whole seconds. A shorter wish is raised to this.")
    ]

    private static let compaction = [
        SettingDefinition(
            "compaction.mode", flag: "auto-compaction-mode", \.compaction.mode,
            "What compaction.retention counts: time or revisions."),
        SettingDefinition(
            "compaction.retention", flag: "auto-compaction-retention", \.compaction.retention,
            "History that is kept; what is older the node compacts by itself. 0 keeps all until a client asks for "
                + "compaction. In mode \"periodic\" a duration, a plain number counts hours; in mode \"revision\" a "
                + "number of revisions."),
    ]

    private static let commit = [
        SettingDefinition(
            "commit.queue_max_requests", flag: "commit-queue-max-requests", \.commit.queueRequestsMax,
            check: within(1...10_000_000),
            "Most writes that wait for the log. Further ones are refused with \"too many requests\"."),
        SettingDefinition(
            "commit.queue_max_bytes", flag: "commit-queue-max-bytes", \.commit.queueBytesMax,
            check: within(.kibibytes(1)...(.mebibytes(65_536))), "Most bytes of writes that wait for the log."),
    ]
}

@Sendable private func isNodeName(_ name: String) -> Refusal? {
    guard (1...128).contains(name.count) else { return Refusal("expected 1 to 128 characters, found \(name.count)") }
    return name.unicodeScalars.contains { $0.properties.isWhitespace || $0.value < 0x20 || $0.value == 0x7F }
        ? Refusal("\(quoted(name)) holds a space or a control character") : nil
}

@Sendable func isText(_ text: String) -> Refusal? {
    if text.isEmpty { return Refusal("it is empty") }
    return text.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7F }
        ? Refusal("\(quoted(text)) holds a control character") : nil
}

@Sendable private func isLeaseTTL(_ time: Duration) -> Refusal? {
    if let refusal = within(Duration.seconds(1)...Duration.seconds(3600))(time) { return refusal }
    return time.components.attoseconds == 0 ? nil : Refusal("\(time.tomlText) is not a whole number of seconds")
}
