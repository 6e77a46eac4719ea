/// A backend broke a rule of its protocol.
public struct RuleViolation: Error, Sendable, CustomStringConvertible {
    /// What was expected, and what was seen instead.
    public var description: String

    /// Describes a violation.
    public init(_ description: String) { self.description = description }
}

/// Throws a `RuleViolation` unless the condition holds.
func expect(_ condition: Bool, _ message: @autoclosure () -> String) throws(RuleViolation) {
    if !condition { throw RuleViolation(message()) }
}

/// Throws a `RuleViolation` unless both are equal.
func expectEqual<Value: Equatable>(
    _ seen: Value, _ expected: Value, _ what: @autoclosure () -> String
) throws(RuleViolation) {
    if seen != expected { throw RuleViolation("\(what()): expected \(expected), saw \(seen)") }
}

/// Throws a `RuleViolation` unless `body` fails with an error of that code.
/// - Parameter parts: What kind of error it is to be, and its code and message.
func expectFailure<Failure: Error, Code: Equatable>(
    _ code: Code, _ what: String, parts: (Failure) -> (code: Code, message: String), _ body: () async throws -> Void
) async throws {
    do {
        try await body()
    } catch let error as Failure {
        let (seen, message) = parts(error)
        try expectEqual(seen, code, "error of \(what) (\(error))")
        try expect(!message.isEmpty, "\(what): an error without a message")
        return
    }
    throw RuleViolation("\(what): expected the error \(code), saw success")
}
