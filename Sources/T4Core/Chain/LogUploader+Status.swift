package import T4Protocols

extension LogUploader {
    /// When uploads happen.
    package struct Settings: Sendable {
        /// Somebody waits for each batch, so that nothing is held back for long.
        package var isSynchronous = false
        /// Batches that are not waited for are uploaded when the first of them is this old,
        package var ageMax = Duration.seconds(10)
        /// or when they have this many bytes; no object is larger unless a single batch is.
        package var sizeMax = 50 << 20
        /// Uploads under way at once.
        package var inFlightMax = 4
        /// No node has more, whatever it is configured for.
        package static let inFlightLimit = 64
        /// Bytes of waiting entries that are kept in memory; the others are read again when their turn comes.
        package var memoryMax = 32 << 20

        package init() {}
    }

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
        /// How long the first of them waits; nil where there are none.
        package var backlogAge: Duration?
        /// Why the last attempt did not succeed; nil after one that did.
        package var outage: String?
    }
}
