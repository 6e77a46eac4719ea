import NIOCore

/// How fast a client moves what waits for it, or of it, while memory is scarce.
struct Pace {
    /// Fewer bytes in a second count as none.
    private static let rateMin = 16.0 * 1024
    /// Time after which a rate says something.
    private static let trialSeconds = 1.0
    /// A client is slow that would take longer for all it holds.
    private static let clearanceSeconds = 60.0

    private struct Mark {
        var time: NIODeadline
        var held: Int
        var moved: Int
    }

    private var mark: Mark?
    /// For seconds next to nothing of it has moved.
    private(set) var isStalled = false
    /// What it holds would be there for more than a minute.
    private(set) var isSlow = false

    /// To be called several times in a second.
    /// - Parameters:
    ///   - held: Bytes that wait now; up to `spare` nobody minds.
    ///   - moved: Bytes that have ever moved.
    ///   - stallSeconds: Time after which a client stalls of which next to nothing moves; a second or more.
    mutating func look(held: Int, spare: Int, moved: Int, at time: NIODeadline, stallSeconds: Double) {
        guard held > spare else { return self = Pace() }
        guard let mark else {
            self.mark = Mark(time: time, held: held, moved: moved)
            return
        }
        let seconds = Double((time - mark.time).nanoseconds) / 1e9
        let bytes = Double(moved - mark.moved)
        if bytes >= Self.rateMin * stallSeconds { isStalled = false }
        guard seconds >= Self.trialSeconds else { return }
        isSlow = bytes * Self.clearanceSeconds < Double(mark.held) * seconds
        guard seconds >= stallSeconds else { return }
        isStalled = bytes < Self.rateMin * seconds
        self.mark = Mark(time: time, held: held, moved: moved)
    }
}
