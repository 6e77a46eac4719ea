/// How work that can wait shares the machine with work that cannot: while others are busy it rests after each portion.
package struct BackgroundPace: Sendable {
    /// Longest rest, whatever a portion took: the machine may have stood still meanwhile.
    package static let restMax = Duration.milliseconds(200)
    /// For so long after they did something others count as busy.
    package static let busyTime = Duration.milliseconds(100)

    private let restFactor: Int
    private var begin = Duration.zero
    private var lastLook = Duration.zero
    private var progress: Int64 = 0
    private var busyUntil = Duration.zero

    /// - Parameter restFactor: Rest after a portion, in multiples of the time that it took.
    package init(restFactor: Int) { self.restFactor = restFactor }

    /// A portion begins.
    /// - Parameter progress: A number that rises with what others do.
    package mutating func begin(at now: Duration, progress: Int64) {
        begin = now
        // What others did long ago does not say that they are busy.
        if now - lastLook >= Self.busyTime { self.progress = progress }
    }

    /// The portion has ended.
    /// - Returns: How long to rest.
    package mutating func end(at now: Duration, progress: Int64) -> Duration {
        if progress != self.progress { busyUntil = now + Self.busyTime }
        self.progress = progress
        lastLook = now
        return now < busyUntil ? min((now - begin) * restFactor, Self.restMax) : .zero
    }
}
