package import T4Protocols

/// What a verification of a database in its object store found.
package struct VerificationReport: Sendable {
    /// Classes of objects.
    package enum Kind: String, Sendable, CaseIterable {
        case database
        case head
        case checkpoints
        case tables
        case log
        case pins
        case collection
    }

    /// Objects that were read whole.
    package struct Count: Hashable, Sendable {
        package var objects = 0
        package var bytes: UInt64 = 0

        package init() {}
    }

    /// Something about an object.
    package struct Finding: Hashable, Sendable {
        /// Its name.
        package var object: String
        /// What is wrong with it, or what is to be said.
        package var what: String
    }

    /// What was read of each class.
    package private(set) var counts: [Kind: Count] = [:]
    /// What is damaged, missing or contradicts the rest.
    package var problems: [Finding] = []
    /// What a later version of t4 has written, and this one cannot verify.
    package var later: [Finding] = []
    /// What is in the store without being part of the database, and what could not be compared.
    package var notes: [Finding] = []
    /// Checkpoints whose rows were added up, and found to be what they should be or not.
    package var digests = 0
    /// Stretches of the log between two checkpoints that were.
    package var stretches = 0
    /// The last entry of the chain; nil when nothing leads there.
    package var end: LogPosition?

    /// Whether everything was verified and nothing is wrong.
    package var isClean: Bool { problems.isEmpty && later.isEmpty }

    mutating func count(_ kind: Kind, bytes: Int) {
        counts[kind, default: Count()].objects += 1
        counts[kind, default: Count()].bytes += UInt64(bytes)
    }
}
