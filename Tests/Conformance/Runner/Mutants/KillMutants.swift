import T4Conformance
import T4Protocols

extension Mutant {
    /// Flaws that only a killed process or a full disk shows.
    static let killMutants = [
        files(
            "says that batches are durable before they are",
            breaks: "a killed writer leaves whole batches, and all that was durable"
        ) { try DelayedEngine(BaseEngine.logFile.open($0), context: $0, flaw: .saysDurableTooEarly) },
        files(
            "writes a batch in two parts", breaks: "a killed writer leaves whole batches, and all that was durable",
            Flaw(apply: { (engine, batch, position) throws(EngineError) in
                try applyInParts(engine, batch, position, pause: .milliseconds(20))
            })),
        files(
            "leaves a batch in two parts in a copy",
            breaks: "a copy of a running engine's files opens at a whole batch",
            Flaw(apply: { (engine, batch, position) throws(EngineError) in
                try applyInParts(engine, batch, position, pause: .milliseconds(20))
            })),
        files(
            "loads rows in parts", breaks: "a killed bulk load is whole, empty, or told at open",
            Flaw(isLoadInParts: true)),
        files(
            "keeps half of a batch when the disk is full", breaks: "a full disk fails a batch whole, and nothing else",
            Flaw(apply: { (engine, batch, position) throws(EngineError) in
                try applyInParts(engine, batch, position, pause: .zero)
            })),
        files(
            "is silent about a full disk", breaks: "a full disk fails a batch whole, and nothing else",
            Flaw(apply: { (engine, batch, position) throws(EngineError) in
                do throws(EngineError) {
                    try engine.apply(batch, at: position)
                } catch {
                    if error.code != .noSpace { throw error }
                }
            })),
        files(
            "is of no use once the disk was full", breaks: "a full disk fails a batch whole, and nothing else",
            failingForGood()),
    ]

    /// Refuses every batch and every sync after the first that found the disk full.
    private static func failingForGood() -> Flaw {
        let isFull = Latch()
        return Flaw(
            apply: { (engine, batch, position) throws(EngineError) in
                if isFull.isSet { throw EngineError(.noSpace, "the disk was full") }
                do throws(EngineError) {
                    try engine.apply(batch, at: position)
                } catch {
                    if error.code == .noSpace { isFull.set() }
                    throw error
                }
            })
    }
}
