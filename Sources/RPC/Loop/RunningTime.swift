import NIOCore

/// The time in which a server ran, advanced by something that it does at an interval.
///
/// A stop of the process, or of its machine, does not count: what clients have sent meanwhile is still to be read.
struct RunningTime {
    let interval: TimeAmount
    private(set) var now: NIODeadline
    private var latest: NIODeadline
    private var wasLate = false

    init(interval: TimeAmount, start: NIODeadline) {
        self.interval = interval
        now = start
        latest = start
    }

    /// - Returns: Whether clients may be judged: not if it comes much too late, but then the next time in any case.
    mutating func advance(to time: NIODeadline) -> Bool {
        let passed = time - latest
        latest = time
        let isLate = passed > interval * 2
        now = now + (isLate ? interval : passed)
        let isExcused = isLate && !wasLate
        wasLate = isExcused
        return !isExcused
    }
}
