/// How a call ended: a gRPC status code and a text.
///
/// Thrown by the client for every status but `ok`; handed by handlers to `ServerCall.fail` and `finish`.
public struct RPCStatus: Error, Sendable, Hashable, CustomStringConvertible {
    /// The sixteen codes and `ok`, with the numbers gRPC gives them on the wire.
    public enum Code: UInt8, Sendable, Hashable, CaseIterable {
        /// The call succeeded.
        case ok = 0
        /// The caller gave up.
        case cancelled = 1
        /// Something failed that has no better code.
        case unknown = 2
        /// The request is wrong whatever the state of the server.
        case invalidArgument = 3
        /// Time ran out before the call ended; it may have taken effect.
        case deadlineExceeded = 4
        /// What the request names does not exist.
        case notFound = 5
        /// What the request creates exists.
        case alreadyExists = 6
        /// The caller is known and may not do this.
        case permissionDenied = 7
        /// A limit or quota is used up.
        case resourceExhausted = 8
        /// The state of the server forbids the call; retrying alone does not help.
        case failedPrecondition = 9
        /// The call lost a race and may be retried as a whole.
        case aborted = 10
        /// A position outside the valid range, as a revision of the future.
        case outOfRange = 11
        /// The server does not know the method.
        case unimplemented = 12
        /// A broken invariant of the server or of the protocol.
        case `internal` = 13
        /// The server cannot be reached or does not serve now; retry with backoff.
        case unavailable = 14
        /// Data is lost or damaged.
        case dataLoss = 15
        /// The caller is not known.
        case unauthenticated = 16
    }

    /// What kind of end it was.
    public var code: Code
    /// Text for people (and for clients that compare it); any Unicode, percent-encoded on the wire.
    public var message: String

    /// A status with a text.
    public init(_ code: Code, _ message: String = "") {
        self.code = code
        self.message = message
    }

    /// Success.
    public static let ok = RPCStatus(.ok)

    /// True for success.
    public var isOK: Bool { code == .ok }

    /// As a Go client prints it: code name and text.
    public var description: String { "rpc error: code = \(code) desc = \(message)" }
}
