import NIOCore

/// Finds dead peers: pings after a time without received bytes, and gives up if nothing comes then either.
struct KeepaliveTimer {
    enum Action { case nothing, ping, dead }

    /// Set whenever bytes arrive.
    var sawRead = false
    private var isWaiting = false
    private var timer: Scheduled<Void>?

    mutating func start(on connection: HTTP2Connection) {
        guard let time = connection.settings.keepaliveTime else { return }
        schedule(time, on: connection)
    }

    mutating func stop() {
        timer?.cancel()
        timer = nil
    }

    /// The timer has fired: says what to do and sets it anew.
    mutating func fire(on connection: HTTP2Connection) -> Action {
        guard let time = connection.settings.keepaliveTime else { return .nothing }
        defer { sawRead = false }
        if sawRead {
            isWaiting = false
            schedule(time, on: connection)
            return .nothing
        }
        if isWaiting { return .dead }
        isWaiting = true
        schedule(connection.settings.keepaliveTimeout, on: connection)
        return .ping
    }

    private mutating func schedule(_ nanoseconds: Int64, on connection: HTTP2Connection) {
        timer = connection.loop.eventLoop.scheduleTask(in: .nanoseconds(nanoseconds)) { [weak connection] in
            connection?.keepaliveFired()
        }
    }
}
