import T4Protocols

/// One thing that every local engine must do, as a value that any test or tool can run.
public struct EngineRule: Sendable, CustomStringConvertible {
    /// What a rule asks of an engine beyond `LocalEngine` itself.
    enum Need: Sendable {
        /// Files that outlive the process.
        case files
        /// `EngineUnderTest.childProgram`.
        case childProgram
        /// `EngineCapabilities.isPowerLossSafe`.
        case powerLossSafety
        /// An `EngineUnderTest.damage` other than `.undefined`.
        case damagePromise
    }

    /// What holds.
    public var name: String
    /// Throws a `RuleViolation` that says what did not hold, or the error that the engine threw instead of working.
    public var check: @Sendable (EngineUnderTest) async throws -> Void
    var needs: [Need] = []

    /// Names a rule that can be run on every engine.
    public init(_ name: String, check: @escaping @Sendable (EngineUnderTest) async throws -> Void) {
        self.name = name
        self.check = check
    }

    init(_ name: String, needs: [Need], check: @escaping @Sendable (EngineUnderTest) async throws -> Void) {
        self.name = name
        self.needs = needs
        self.check = check
    }

    /// The rule's name.
    public var description: String { name }

    /// Why the rule says nothing about an engine; nil where it is to be run.
    public func reasonNotToRun(on engine: EngineUnderTest) -> String? {
        for need in needs {
            switch need {
            case .files where engine.capabilities.isVolatile: return "the engine keeps no files"
            case .childProgram where engine.childProgram == nil: return "the harness names no childProgram"
            case .powerLossSafety where !engine.capabilities.isPowerLossSafe: return "the engine is not isPowerLossSafe"
            case .damagePromise where engine.damage == .undefined: return "the harness promises nothing about damage"
            default: continue
            }
        }
        return nil
    }
}

/// The rules of `LocalEngine`.
public enum EngineRules {
    /// Every rule; the random ones with fixed seeds.
    public static var all: [EngineRule] {
        batchRules + snapshotRules + scanRules + keyRules + loadRules + lifecycleRules + [1, 2, 3].map(model(seed:))
            + rebuildRules + killRules + powerLossRules + damageRules + diskRules
    }
}
