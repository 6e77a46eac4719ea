public import T4Protocols

/// Why a restore is not possible. Nothing was written, or everything that was written has been removed again.
public struct RestoreError: Error, Sendable, CustomStringConvertible {
    /// What a caller can act on.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String { case notKept, damaged, destination }
        private let value: Value
        private init(_ value: Value) { self.value = value }

        /// What was asked for is not in the store, or not any more: choose something else.
        public static let notKept = Code(.notKept)
        /// An object that is needed is missing or damaged: choose something that does not need it.
        public static let damaged = Code(.damaged)
        /// The data directory cannot be made there: choose another place.
        public static let destination = Code(.destination)

        /// The code's name.
        public var description: String { value.rawValue }
    }

    /// A state that can be restored.
    public struct State: Hashable, Sendable {
        /// Its revision.
        public var revision: Revision
        /// Commit time of its last log entry, in nanoseconds since 1970.
        public var time: UInt64
        /// The checkpoint that holds it; nil when it comes from the log.
        public var checkpoint: ObjectKey?
    }

    /// What could be restored instead.
    public struct Kept: Hashable, Sendable {
        /// The oldest state from which on every one up to `newest` is kept; nil when there is none.
        public var oldest: State?
        /// The newest state; nil when nothing can be restored, or when it could not be found out.
        public var newest: State?
        /// Checkpoints before `oldest`, the oldest first: what came between them is not kept.
        public var alone: [State] = []
        /// The newest checkpoint before what was asked for.
        public var before: State?
        /// The oldest checkpoint behind what was asked for.
        public var after: State?
    }

    /// What a caller can act on.
    public var code: Code
    /// What failed, with the names of objects, and what to try.
    public var message: String
    /// What could be restored instead; nil where that is not the question.
    public var kept: Kept?
    /// The error below, if any.
    public var cause: (any Error)?

    /// Describes a failure.
    public init(_ code: Code, _ message: String, kept: Kept? = nil, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.kept = kept
        self.cause = cause
    }

    /// Message and cause, for a log line.
    public var description: String { cause.map { "\(message): \($0)" } ?? message }
}
