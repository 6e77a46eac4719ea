import Glibc

/// Where the core gets its time from, so that tests can set it.
package struct Clock: Sendable {
    /// Nanoseconds of wall time since 1970.
    package var wall: @Sendable () -> UInt64
    /// Nanoseconds since the machine started, time in suspend included.
    package var monotonic: @Sendable () -> UInt64

    package init(wall: @escaping @Sendable () -> UInt64, monotonic: @escaping @Sendable () -> UInt64) {
        self.wall = wall
        self.monotonic = monotonic
    }

    /// The clocks of the operating system.
    package static let system = Clock(
        wall: { read(CLOCK_REALTIME) },
        monotonic: { read(CLOCK_BOOTTIME) }
    )

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
