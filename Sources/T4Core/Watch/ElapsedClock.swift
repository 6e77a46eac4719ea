import Glibc

/// Time that never goes back, from an arbitrary start.
package protocol ElapsedClock: Sendable {
    /// The time that has passed; also while the machine was suspended.
    var now: Duration { get }
}

/// The time since the machine started, counting suspension.
package struct BootClock: ElapsedClock {
    package init() {}

    package var now: Duration {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}
