/// What went wrong with a checkpoint or a part of one.
package struct CheckpointError: Error, Sendable, CustomStringConvertible {
    /// What a caller can act on.
    package enum Code: Sendable {
        /// Bytes are not those that were written, or contradict each other: use another checkpoint.
        case corrupted
        /// Written by a later version.
        case unsupported
        /// Rows, positions or parameters outside the contract.
        case invalidArgument
        /// Somebody else was quicker; nothing is lost, and another attempt may succeed.
        case interrupted
    }

    package var code: Code
    /// What failed, with the object's name.
    package var message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
