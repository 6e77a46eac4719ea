import Glibc

/// The time since its making. Costs next to nothing, so that every request can have one; the time in which the machine was
/// suspended does not count.
package struct Stopwatch: Sendable {
    private let begin: Int64

    package init() { begin = Stopwatch.now }

    /// Nanoseconds until `end`, which is `Stopwatch.now` of a later moment.
    package func nanoseconds(until end: Int64 = Stopwatch.now) -> Int64 { end - begin }

    /// Seconds until now.
    package var seconds: Double { Double(nanoseconds()) / 1_000_000_000 }

    /// Nanoseconds from an arbitrary start.
    package static var now: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
