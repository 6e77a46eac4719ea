import ArgumentParser
import T4Config
import T4Protocols

/// The name of a checkpoint as commands take it.
enum CheckpointName {
    /// Nobody who names a checkpoint and leaves the name empty by mistake means the newest one.
    static func parse(_ text: String) throws -> String {
        if text.isEmpty {
            throw ValidationError("the name of the checkpoint is empty; t4 restore list shows the names")
        }
        return text
    }
}

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
