/// Decides how long an upload that somebody waits for is held back while others are under way.
///
/// Whoever was answered by the last uploads is about to write again. An upload that begins with the first of these writes
/// leaves the others to the next one, for which they wait longer than they would have been held back. So an upload begins
/// when as many entries have come as were answered since the one before, or after a tenth of the time that uploads take.
struct UploadPacing {
    /// Nothing is held back longer.
    private static let holdMax = Duration.milliseconds(10)
    /// What uploads took lately; zero before the first one.
    private var time = Duration.zero
    /// Entries that were answered since the latest upload began.
    private(set) var answered: UInt64 = 0

    /// The longest time that an upload is held back.
    var hold: Duration { min(time / 10, UploadPacing.holdMax) }

    /// An upload began.
    mutating func began() { answered = 0 }

    /// An upload is in the store.
    mutating func ended(after duration: Duration) { time = time == .zero ? duration : (time * 7 + duration) / 8 }

    /// Entries were answered.
    mutating func answered(_ count: UInt64) { answered += count }
}
