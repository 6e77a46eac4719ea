import Glibc

/// Where signatures and the expiry of credentials get the time from, so that tests can set it.
struct WallClock: Sendable {
    var now: @Sendable () -> UTCTime

    /// The clock of the operating system.
    static let system = WallClock {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return UTCTime(seconds: time.tv_sec)
    }
}
