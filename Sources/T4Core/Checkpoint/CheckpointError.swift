/// What went wrong with a checkpoint or a part of one.
package struct CheckpointError: Error, Sendable, CustomStringConvertible {
    /// What a caller can act on.
    package enum Code: Sendable {
        /// Bytes are not those that were written, or contradict each other: use another checkpoint.
        case corrupted
        /// Intact, and written by a later version in a format that this one does not know: stop. It is no damage; nothing
        /// may stand in for it, replace or delete it.
        case laterVersion
        /// Something that this build or configuration cannot do.
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

    /// The error for an object of a later version.
    /// - Parameters:
    ///   - name: Of the object.
    ///   - what: What this version does not know: "format 2" for instance.
    ///   - known: What it knows.
    static func laterVersion(_ name: String, has what: String, known: String) -> CheckpointError {
        CheckpointError(
            .laterVersion,
            "\(name) has \(what), written by a later version of t4; this one reads up to \(known): use a newer t4")
    }

    package var description: String { message }
}
