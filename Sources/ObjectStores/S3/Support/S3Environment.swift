import FoundationEssentials

/// What the store takes from its surroundings; tests hand in their own.
struct S3Environment: Sendable {
    /// Environment variables.
    var variables: [String: String]
    /// For signatures and expiry.
    var clock: WallClock

    /// Those of this process.
    static var process: S3Environment {
        S3Environment(variables: ProcessInfo.processInfo.environment, clock: .system)
    }

    /// The value of a variable; nil when it is missing or empty.
    subscript(_ name: String) -> String? {
        variables[name].flatMap { $0.isEmpty ? nil : $0 }
    }
}
