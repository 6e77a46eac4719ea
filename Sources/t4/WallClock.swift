import FoundationEssentials

/// The wall clock, for the time stamps of messages.
enum WallClock {
    /// Now, in UTC with milliseconds.
    static var timestamp: String {
        Date.now.formatted(.iso8601.year().month().day().time(includingFractionalSeconds: true)) + "Z"
    }
}
