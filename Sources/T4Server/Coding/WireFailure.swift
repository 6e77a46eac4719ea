package import T4Core

/// Why a message cannot be decoded.
package enum WireFailure: Error, Hashable, Sendable {
    /// What is wrong with the bytes.
    package enum Malformation: String, Hashable, Sendable {
        /// A field reaches past the end of its message.
        case truncated
        /// A number of more than ten bytes or 64 bits.
        case overlongNumber
        /// Field number 0, a field number above 2^29 - 1, or an unknown wire type.
        case invalidTag
        /// The end of a group that is not open, or a group without an end.
        case unmatchedGroup
        /// Groups nested deeper than `RawSpan.groupDepthMax`.
        case nestedTooDeep
    }

    /// Not a protobuf message; gRPC answers `internal`.
    case malformed(Malformation)
    /// A message that no value of T4Core can hold and etcd refuses with this error.
    case refused(DatabaseError.Code)
}
