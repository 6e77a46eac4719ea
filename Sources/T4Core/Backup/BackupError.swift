/// Why a file is no backup that can be read, or none could be written.
public struct BackupError: Error, Sendable, CustomStringConvertible {
    /// What a caller can act on.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String { case notABackup, damaged, laterVersion, ioFailed }
        private let value: Value
        private init(_ value: Value) { self.value = value }

        /// It was never written as one.
        public static let notABackup = Code(.notABackup)
        /// Bytes are missing, or are not those that were written: nothing of it may be used.
        public static let damaged = Code(.damaged)
        /// A later version of this program wrote it.
        public static let laterVersion = Code(.laterVersion)
        /// The file cannot be read or written.
        public static let ioFailed = Code(.ioFailed)

        /// The code's name.
        public var description: String { value.rawValue }
    }

    /// What a caller can act on.
    public var code: Code
    /// What is wrong, and what to try.
    public var message: String
    /// The error below, if any.
    public var cause: (any Error)?

    /// Describes a failure.
    public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// Message and cause, for a log line.
    public var description: String { cause.map { "\(message): \($0)" } ?? message }
}
