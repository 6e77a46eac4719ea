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
