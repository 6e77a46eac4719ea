import ArgumentParser
import T4Config
import T4Protocols

/// A moment as commands take it.
enum PointInTime {
    static func parse(_ text: String) throws -> Timestamp {
        guard let time = Timestamp(text) else {
            throw ValidationError(
                "\"\(text)\" is no time: write it like 2024-06-01T12:00:00Z or 2024-06-01T14:00:00+02:00")
        }
        return time
    }
}
