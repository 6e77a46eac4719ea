import Glibc

/// Where the core gets the wall time from, so that tests can set it. Elapsed time is `ElapsedClock`'s.
package struct Clock: Sendable {
    /// Nanoseconds of wall time since 1970.
    package var wall: @Sendable () -> UInt64

    package init(wall: @escaping @Sendable () -> UInt64) { self.wall = wall }

    /// The clock of the operating system.
    package static let system = Clock {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
