/// Why entries cannot be replayed into a data directory.
public struct ReplayError: Error, Sendable, CustomStringConvertible {
    /// What a caller can act on.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String { case gap, diverged, wrongDatabase, noDirectory, notALog }
        private let value: Value
        private init(_ value: Value) { self.value = value }

        /// Entries are missing between the directory's last one and the first of the piece: of that nothing was taken.
        public static let gap = Code(.gap)
        /// The directory has another entry where the piece has one: it went on by itself, or has what was given up.
        public static let diverged = Code(.diverged)
        /// The piece is of another database.
        public static let wrongDatabase = Code(.wrongDatabase)
        /// There is no data directory.
        public static let noDirectory = Code(.noDirectory)
        /// The file is a backup, and no piece of the log.
        public static let notALog = Code(.notALog)

        /// The code's name.
        public var description: String { value.rawValue }
    }

    /// What a caller can act on.
    public var code: Code
    /// What is wrong, and what to try.
    public var message: String

    /// Describes a failure.
    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// The message.
    public var description: String { message }
}
