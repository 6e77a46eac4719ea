import Glibc

/// Where the core gets the wall time from, so that tests can set it. Elapsed time is `ElapsedClock`'s.
package struct Clock: Sendable {
    /// Nanoseconds of wall time since 1970.
    package var wall: @Sendable () -> UInt64

    package init(wall: @escaping @Sendable () -> UInt64) { self.wall = wall }

    /// This clock, but never ahead of its time now and what has passed since: a jump ahead must not make what is young
    /// look old. A jump back is followed.
    package func notAhead(of elapsed: any ElapsedClock) -> Clock {
        let (start, begin) = (wall(), elapsed.now)
        return Clock { [wall] in
            min(wall(), start + UInt64((elapsed.now - begin).nanoseconds))
        }
    }

    /// The clock of the operating system.
    package static let system = Clock {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
