import Logging
package import T4Conformance
package import T4Protocols

/// An engine that is broken on purpose, and the rule that must notice it.
package struct Mutant: Sendable, CustomStringConvertible {
    /// What is wrong with it.
    package var name: String
    /// Name of a rule that it breaks every time.
    package var rule: String
    var capabilities: EngineCapabilities
    var damage = EngineUnderTest.DamagePromise.undefined
    /// Opens it in an existing directory.
    package var open: @Sendable (EngineContext) throws -> any LocalEngine

    /// Every mutant of this build.
    package static var all: [Mutant] { batchMutants + readMutants + loadMutants + fileMutants + killMutants }

    package var description: String { name }

    /// The mutant as the suite wants it.
    package func underTest(childProgram: ChildProgram) -> EngineUnderTest {
        EngineUnderTest(
            name: name, capabilities: capabilities, damage: damage, childProgram: childProgram, open: open)
    }

    /// A flaw in the memory engine.
    static func memory(_ name: String, breaks rule: String, _ flaw: Flaw) -> Mutant {
        Mutant(name: name, rule: rule, capabilities: BaseEngine.memory.capabilities) { context in
            FlawedEngine(try BaseEngine.memory.open(context), flaw)
        }
    }

    /// A flaw in an engine with files.
    static func files(_ name: String, breaks rule: String, _ flaw: Flaw) -> Mutant {
        files(name, breaks: rule) { FlawedEngine(try BaseEngine.logFile.open($0), flaw) }
    }

    /// Another flaw in an engine with files.
    static func files(
        _ name: String, breaks rule: String, open: @escaping @Sendable (EngineContext) throws -> any LocalEngine
    ) -> Mutant {
        Mutant(name: name, rule: rule, capabilities: BaseEngine.logFile.capabilities, open: open)
    }
}
