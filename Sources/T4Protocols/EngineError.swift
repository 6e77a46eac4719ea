/// What went wrong in a local engine.
public struct EngineError: Error, Sendable, CustomStringConvertible {
    /// What a caller can act on.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String { case noSpace, ioFailed, corrupted, closed, invalidArgument, inUse, unsupported }
        private let value: Value
        private init(_ value: Value) { self.value = value }

        /// The disk, the map or a table of readers is full; the engine stays usable.
        public static let noSpace = Code(.noSpace)
        /// A system call failed; the engine must be closed and opened again, or rebuilt.
        public static let ioFailed = Code(.ioFailed)
        /// The files are damaged; the engine must be rebuilt from checkpoint and log.
        public static let corrupted = Code(.corrupted)
        /// The engine was closed.
        public static let closed = Code(.closed)
        /// The caller broke a rule of the protocol; nothing was changed.
        public static let invalidArgument = Code(.invalidArgument)
        /// Another process holds the files.
        public static let inUse = Code(.inUse)
        /// This engine or this build cannot do it.
        public static let unsupported = Code(.unsupported)

        /// The code's name.
        public var description: String { value.rawValue }
    }

    /// What a caller can act on.
    public var code: Code
    /// What failed, on what, and what to try.
    public var message: String
    /// The error below, if any.
    public var cause: (any Error)?

    /// Describes a failure.
    public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// The error itself where it is an engine's already, and else `ioFailed` with it as the cause.
    package init(wrapping error: any Error, _ message: @autoclosure () -> String) {
        self = error as? EngineError ?? EngineError(.ioFailed, message(), cause: error)
    }

    /// Message and cause, for a log line.
    public var description: String { cause.map { "\(message): \($0)" } ?? message }
}
