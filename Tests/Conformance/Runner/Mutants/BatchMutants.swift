import Foundation
import T4Conformance
import T4Protocols

extension Mutant {
    /// Flaws of `apply` and of the position.
    static let batchMutants = [
        memory(
            "drops the last delete of a batch", breaks: "random operations match a sorted array (seed 1)",
            Flaw(apply: { (engine, batch, position) throws(EngineError) in
                var changes = batch.copies
                if let last = changes.lastIndex(where: { $0.value == nil }) { changes.remove(at: last) }
                try engine.apply(WriteBatch(changes), at: position)
            })),
        memory(
            "lets the first change of a key win", breaks: "within a batch the last change of a key wins",
            Flaw(apply: { (engine, batch, position) throws(EngineError) in
                try engine.apply(WriteBatch(batch.copies.reversed()), at: position)
            })),
        memory(
            "keeps half of a batch that it refuses", breaks: "a refused batch changes nothing",
            Flaw(apply: { (engine, batch, position) throws(EngineError) in
                try applyInParts(engine, batch, position, pause: .zero)
            })),
        memory(
            "shows half of a batch for a while",
            breaks: "snapshots taken during batches are whole and match the position",
            Flaw(apply: { (engine, batch, position) throws(EngineError) in
                try applyInParts(engine, batch, position, pause: .milliseconds(1))
            })),
        memory(
            "forgets the position", breaks: "a batch shows whole, with its position",
            Flaw(applied: { (_) throws(EngineError) in .zero })),
        memory(
            "forgets the term", breaks: "a batch shows whole, with its position",
            Flaw(apply: { (engine, batch, position) throws(EngineError) in
                try engine.apply(batch, at: LogPosition(term: 1, index: position.index))
            })),
        memory(
            "keeps the position over an empty batch", breaks: "a batch shows whole, with its position",
            Flaw(apply: { (engine, batch, position) throws(EngineError) in
                if !batch.isEmpty { try engine.apply(batch, at: position) }
            })),
        memory(
            "starts at a position above zero", breaks: "an empty engine has no rows and position zero",
            Flaw(applied: { (engine) throws(EngineError) in max(try engine.appliedPosition, oneOne) })),
        memory(
            "refuses to delete an absent key", breaks: "deleting an absent key succeeds and changes nothing else",
            Flaw(apply: { (engine, batch, position) throws(EngineError) in
                let snapshot = try engine.snapshot()
                for change in batch.copies where change.value == nil {
                    guard try value(snapshot, change.key) != nil else {
                        throw EngineError(.invalidArgument, "there is no such key")
                    }
                }
                try engine.apply(batch, at: position)
            })),
        memory(
            "loses every hundredth batch", breaks: "random operations match a sorted array (seed 3)",
            Flaw(apply: { (engine, batch, position) throws(EngineError) in
                try engine.apply(position.index % 100 == 0 ? WriteBatch() : batch, at: position)
            })),
        memory(
            "refuses keys above 32 KiB", breaks: "the longest keys work, and longer bounds",
            Flaw(apply: { (engine, batch, position) throws(EngineError) in
                guard batch.copies.allSatisfy({ $0.key.count <= 32 << 10 }) else {
                    throw EngineError(.invalidArgument, "the key is too long")
                }
                try engine.apply(batch, at: position)
            })),
        memory(
            "cuts keys at 511 bytes",
            breaks: "long keys that share a prefix are kept and ordered, with bounds among them",
            Flaw(
                apply: { (engine, batch, position) throws(EngineError) in
                    let cut = batch.copies.map { (key: Array($0.key.prefix(511)), value: $0.value) }
                    try engine.apply(WriteBatch(cut), at: position)
                },
                read: { (snapshot, key) throws(EngineError) in try value(snapshot, Array(key.prefix(511))) })),
        memory(
            "cuts values that are too large", breaks: "the largest value is kept, a larger one refused",
            Flaw(apply: { (engine, batch, position) throws(EngineError) in
                let cut = batch.copies.map { change in
                    (key: change.key, value: change.value.map { Array($0.prefix(EngineLimits.valueBytesMax)) })
                }
                try engine.apply(WriteBatch(cut), at: position)
            })),
        memory(
            "takes batches after its close", breaks: "after a close every call says so, and closing again is fine",
            Flaw(close: { (_) throws(EngineError) in })),
    ]

    private static let oneOne = LogPosition(term: 1, index: 1)

    /// Applies the first change under the old position, and the others some time later.
    static func applyInParts(
        _ engine: any LocalEngine, _ batch: WriteBatch, _ position: LogPosition, pause: Duration
    ) throws(EngineError) {
        let changes = batch.copies
        try engine.apply(WriteBatch(changes.prefix(1)), at: engine.appliedPosition)
        spend(pause)
        try engine.apply(WriteBatch(changes.dropFirst()), at: position)
    }

    /// Keeps the thread busy for so much of its own time, which on a busy machine takes longer.
    private static func spend(_ time: Duration) {
        func spent() -> Duration {
            var spent = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent)
            return .seconds(spent.tv_sec) + .nanoseconds(spent.tv_nsec)
        }
        let end = spent() + time
        while spent() < end {}
    }

    /// Copy of a value, nil when the key is absent.
    static func value(_ snapshot: any EngineSnapshot, _ key: [UInt8]) throws(EngineError) -> [UInt8]? {
        var value: [UInt8]?
        _ = try snapshot.read(key.span.bytes) { value = copy($0) }
        return value
    }
}
