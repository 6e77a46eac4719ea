package import T4Protocols

extension LogUploader {
    /// Why the log can no longer be uploaded by this process.
    package struct Failure: Error, Sendable, CustomStringConvertible {
        package var description: String
        /// The term of a later leader who writes the log now.
        package var deposedBy: UInt64?
    }

    /// What an operator wants to know.
    package struct Status: Hashable, Sendable {
        /// The last entry that is in the store, with everything before it.
        package var end: LogPosition
        /// The last entry that was added.
        package var last: LogPosition
        /// Entries and bytes that are not in the store yet.
        package var backlogCount: UInt64 = 0
        package var backlogSize = 0
        /// Why the last attempt did not succeed; nil after one that did.
        package var outage: String?
    }
}
