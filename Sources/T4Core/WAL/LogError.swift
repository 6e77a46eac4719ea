/// What went wrong with the log.
package struct LogError: Error, Sendable, CustomStringConvertible {
    /// What a caller can act on.
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String {
            case noSpace, ioFailed, notFound, corrupted, wrongDatabase, unsupported, invalidArgument, failed, stopped
            case superseded
        }
        private let value: Value
        private init(_ value: Value) { self.value = value }

        /// The disk is full. Thrown by a writer, it also makes that writer unusable.
        package static let noSpace = Code(.noSpace)
        /// A system call failed. Thrown by a writer, it also makes that writer unusable.
        package static let ioFailed = Code(.ioFailed)
        /// A file does not exist.
        package static let notFound = Code(.notFound)
        /// A file is damaged, or does not belong where it lies; the message names file and offset.
        package static let corrupted = Code(.corrupted)
        /// A segment of another database.
        package static let wrongDatabase = Code(.wrongDatabase)
        /// A format version this build does not know.
        package static let unsupported = Code(.unsupported)
        /// The caller broke a rule of the log; nothing was written and the writer stays usable.
        package static let invalidArgument = Code(.invalidArgument)
        /// The writer failed or was closed earlier; `cause` tells why. Nothing was written.
        package static let failed = Code(.failed)
        /// This node leads no more, so that the entries are not to be; nothing was written.
        package static let superseded = Code(.superseded)
        /// The visitor of a replay threw; `cause` is its error.
        package static let stopped = Code(.stopped)

        /// The code's name.
        package var description: String { value.rawValue }
    }

    /// What a caller can act on.
    package var code: Code
    /// What failed, on which file and at which offset, and what to try.
    package var message: String
    /// The file or directory, if one is concerned.
    package var path: String?
    /// The byte offset in the file, if one is concerned.
    package var offset: UInt64?
    /// The error below, if any.
    package var cause: (any Error)?

    /// Describes a failure; path and offset are put before the message.
    package init(_ code: Code, _ message: String, path: String? = nil, offset: UInt64? = nil, cause: (any Error)? = nil)
    {
        self.code = code
        self.path = path
        self.offset = offset
        self.cause = cause
        let place = path.map { path in offset.map { "\(path), offset \($0): " } ?? "\(path): " } ?? ""
        self.message = place + message
    }

    /// Damage found while reading: names the place and what to do.
    static func damaged(_ what: String, path: String, offset: UInt64) -> LogError {
        LogError(.corrupted, "\(what); restore this file from a copy of it", path: path, offset: offset)
    }

    /// Message and cause, for a log line.
    package var description: String { cause.map { "\(message): \($0)" } ?? message }
}
