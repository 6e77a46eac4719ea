import Synchronization
import T4Conformance
import T4Protocols

extension Mutant {
    /// Flaws of snapshots, reads, scans and sizes.
    static let readMutants = [
        memory(
            "leaks later batches into a snapshot", breaks: "a snapshot does not change",
            Flaw(snapshot: { (engine) throws(EngineError) in LiveSnapshot(engine) })),
        memory(
            "loses a snapshot with its engine", breaks: "a snapshot outlives the close of its engine",
            Flaw(snapshot: { (engine) throws(EngineError) in
                let flaw = Flaw(
                    read: { (snapshot, key) throws(EngineError) in
                        _ = try engine.appliedPosition
                        return try value(snapshot, key)
                    },
                    scan: { (snapshot, range, order) throws(EngineError) in
                        _ = try engine.appliedPosition
                        return try snapshot.rows(range, order)
                    })
                return FlawedSnapshot(try engine.snapshot(), flaw)
            })),
        memory(
            "cannot read within a scan",
            breaks: "a read within a scan sees the same snapshot, as does a scan within a scan",
            Flaw(snapshot: { (engine) throws(EngineError) in OneScanSnapshot(try engine.snapshot()) })),
        memory(
            "takes an empty value for none", breaks: "values of every size come back, overwritten by other sizes too",
            Flaw(read: { (snapshot, key) throws(EngineError) in
                let found = try value(snapshot, key)
                return found?.isEmpty == true ? nil : found
            })),
        memory(
            "finds a longer key", breaks: "odd keys are kept and ordered as unsigned bytes",
            Flaw(read: { (snapshot, key) throws(EngineError) in
                try snapshot.rows(KeyRange(lower: key, upper: nil), limit: 1).first?.value
            })),
        memory(
            "swaps two rows of a long scan", breaks: "random operations match a sorted array (seed 2)",
            Flaw(scan: { (snapshot, range, order) throws(EngineError) in
                var rows = try snapshot.rows(range, order)
                if rows.count > 20 { rows.swapAt(10, 11) }
                return rows
            })),
        memory(
            "orders keys as signed bytes", breaks: "odd keys are kept and ordered as unsigned bytes",
            Flaw(scan: { (snapshot, range, order) throws(EngineError) in
                try snapshot.rows(range, order).sorted { left, right in
                    let isBelow = left.key.lexicographicallyPrecedes(right.key) {
                        Int8(bitPattern: $0) < Int8(bitPattern: $1)
                    }
                    return order == .ascending ? isBelow : !isBelow && left.key != right.key
                }
            })),
        memory(
            "takes the upper bound of a descending scan in", breaks: "scans keep to their bounds, both ways",
            Flaw(scan: { (snapshot, range, order) throws(EngineError) in
                let upper = order == .descending ? range.upper.map { $0 + [0] } : range.upper
                return try snapshot.rows(KeyRange(lower: range.lower, upper: upper), order)
            })),
        memory(
            "leaves the lower bound out", breaks: "scans keep to their bounds, both ways",
            Flaw(scan: { (snapshot, range, order) throws(EngineError) in
                try snapshot.rows(range, order).filter { $0.key != range.lower }
            })),
        memory(
            "shows an empty range turned around", breaks: "scans keep to their bounds, both ways",
            Flaw(scan: { (snapshot, range, order) throws(EngineError) in
                if let upper = range.upper, upper.lexicographicallyPrecedes(range.lower) {
                    return try snapshot.rows(KeyRange(lower: upper, upper: range.lower), order)
                }
                return try snapshot.rows(range, order)
            })),
        memory(
            "goes on when asked to stop", breaks: "a scan stops in the middle when asked", Flaw(isStopIgnored: true)),
        memory(
            "ends long scans early", breaks: "many rows scan in order, both ways",
            Flaw(scan: { (snapshot, range, order) throws(EngineError) in
                try snapshot.rows(range, order, limit: 4000)
            })),
        memory(
            "keeps all that was ever written",
            breaks: "the size is reported, bounded with a held snapshot, and stops growing once it is released",
            growing()),
        memory(
            "says that it takes no room",
            breaks: "the size is reported, bounded with a held snapshot, and stops growing once it is released",
            Flaw(size: { (_) throws(EngineError) in 0 })),
        memory(
            "says that nothing is in use",
            breaks: "space of deleted rows is no longer in use once it is reclaimed, and no row is lost",
            Flaw(sizeInUse: { (_) throws(EngineError) in 0 })),
        memory(
            "says that everything stays in use",
            breaks: "space of deleted rows is no longer in use once it is reclaimed, and no row is lost",
            Flaw(sizeInUse: { (_) throws(EngineError) in 100 << 20 })),
        memory(
            "loses a row where it reclaims space",
            breaks: "space of deleted rows is no longer in use once it is reclaimed, and no row is lost",
            Flaw(reclaim: { (engine) throws(EngineError) in
                var batch = WriteBatch()
                batch.delete([199])
                try engine.apply(batch, at: engine.appliedPosition)
            })),
        Mutant(
            name: "promises more than it does", rule: "an engine promises what its harness says",
            capabilities: EngineCapabilities(isPowerLossSafe: false, readsAreInline: false, isVolatile: true),
            open: BaseEngine.memory.open),
    ]

    /// Reports the bytes of all batches as its size.
    private static func growing() -> Flaw {
        let written = Written()
        return Flaw(
            apply: { (engine, batch, position) throws(EngineError) in
                written.bytes.add(batch.byteCount, ordering: .relaxed)
                try engine.apply(batch, at: position)
            },
            size: { (_) throws(EngineError) in written.bytes.load(ordering: .relaxed) })
    }

    private final class Written: Sendable {
        let bytes = Atomic(0)
    }
}

/// Not frozen: every call looks at what was applied last.
private final class LiveSnapshot: EngineSnapshot {
    private let engine: any LocalEngine

    init(_ engine: any LocalEngine) { self.engine = engine }

    func read(_ key: RawSpan, visit: (RawSpan) -> Void) throws(EngineError) -> Bool {
        try engine.snapshot().read(key, visit: visit)
    }

    func scan(_ range: KeyRange, order: ScanOrder, visit: (RawSpan, RawSpan) -> ScanStep) throws(EngineError) {
        try engine.snapshot().scan(range, order: order, visit: visit)
    }
}

/// Has one cursor: what a nested call does is lost on the outer scan.
private final class OneScanSnapshot: EngineSnapshot {
    private let base: any EngineSnapshot
    private let isMoved = Atomic(false)

    init(_ base: any EngineSnapshot) { self.base = base }

    func read(_ key: RawSpan, visit: (RawSpan) -> Void) throws(EngineError) -> Bool {
        isMoved.store(true, ordering: .relaxed)
        return try base.read(key, visit: visit)
    }

    func scan(_ range: KeyRange, order: ScanOrder, visit: (RawSpan, RawSpan) -> ScanStep) throws(EngineError) {
        isMoved.store(false, ordering: .relaxed)
        try base.scan(range, order: order) { key, value in
            let step = visit(key, value)
            return isMoved.load(ordering: .relaxed) ? .stop : step
        }
        isMoved.store(true, ordering: .relaxed)
    }
}
