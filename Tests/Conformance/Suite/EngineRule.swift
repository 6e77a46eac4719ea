/// One thing that every local engine must do, as a value that any test or tool can run.
public struct EngineRule: Sendable, CustomStringConvertible {
    /// What holds.
    public var name: String
    /// Throws a `RuleViolation` that says what did not hold, or the error that the engine threw instead of working.
    public var check: @Sendable (EngineUnderTest) async throws -> Void

    /// Names a rule.
    public init(_ name: String, check: @escaping @Sendable (EngineUnderTest) async throws -> Void) {
        self.name = name
        self.check = check
    }

    /// The rule's name.
    public var description: String { name }
}

/// The rules of `LocalEngine`.
public enum EngineRules {
    /// Every rule; the random ones with fixed seeds.
    public static var all: [EngineRule] {
        batchRules + snapshotRules + scanRules + keyRules + loadRules + lifecycleRules + [1, 2, 3].map(model(seed:))
    }
}
