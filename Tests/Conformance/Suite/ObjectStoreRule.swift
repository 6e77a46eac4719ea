/// One thing that every object store must do, as a value that any test or tool can run.
public struct ObjectStoreRule: Sendable, CustomStringConvertible {
    /// What holds.
    public var name: String
    /// False for what the protocol asks of a store and t4 itself never uses: names that few programs give to objects.
    public var isNeeded: Bool
    /// Throws a `RuleViolation` that says what did not hold, or the error that the store threw instead of working.
    public var check: @Sendable (StoreUnderTest) async throws -> Void

    /// Names a rule.
    public init(
        _ name: String, isNeeded: Bool = true, check: @escaping @Sendable (StoreUnderTest) async throws -> Void
    ) {
        self.name = name
        self.isNeeded = isNeeded
        self.check = check
    }

    /// The rule's name.
    public var description: String { name }
}

/// The rules of `ObjectStore`.
public enum ObjectStoreRules {
    /// Every rule; the random ones with fixed seeds.
    public static var all: [ObjectStoreRule] {
        objectRules + rangeRules + conditionRules + raceRules + listRules + pagingRules + nameRules + clientRules
            + [1, 2].map(model(seed:))
    }
}
