import Logging
import Synchronization
import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing
import WriteBehindEngine

/// Goal: nobody can tell a write-behind engine from the engine below it, whatever that does meanwhile.
/// Method: the engine below is held up, made to fail, or lets others work in the middle of a call. The rules of all engines
/// are checked elsewhere.
@Suite struct WriteBehindEngineTests {
    /// The memory engine, with a gate in front of `apply` and a hook before `snapshot`.
    private final class Below: EngineWrapper {
        let base: any LocalEngine
        let gate = Monitor((isClosed: false, waiting: 0, applied: 0))
        let beforeSnapshot = Mutex<(@Sendable () -> Void)?>(nil)
        let failure = Mutex<EngineError?>(nil)

        init() throws {
            base = try BackendRegistry.builtIn.makeEngine("memory", settings: JSONSettings("{}"), context: .test)
        }

        /// As of an engine with files.
        var durablePosition: LogPosition { get throws(EngineError) { try base.appliedPosition } }

        func snapshot() throws(EngineError) -> any EngineSnapshot {
            let hook = beforeSnapshot.withLock { hook in
                defer { hook = nil }
                return hook
            }
            hook?()
            return try base.snapshot()
        }

        func apply(_ batch: WriteBatch, at position: LogPosition) throws(EngineError) {
            gate.withLock { $0.waiting += 1 }
            gate.broadcast()
            gate.wait { $0.isClosed ? nil : () }
            let failure = failure.withLock { $0 }
            defer {
                gate.withLock { state in
                    state.waiting -= 1
                    state.applied += 1
                }
                gate.broadcast()
            }
            if let failure { throw failure }
            try base.apply(batch, at: position)
        }

        func setGate(closed: Bool) {
            gate.withLock { $0.isClosed = closed }
            gate.broadcast()
        }

        func waitUntilHeld() { gate.wait { $0.waiting > 0 ? () : nil } }
        func wait(forApplied count: Int) { gate.wait { $0.applied >= count ? () : nil } }
    }

    private static func apply(
        _ engine: any LocalEngine, _ index: UInt64, _ changes: [(String, String?)]
    ) throws(EngineError) {
        var batch = WriteBatch()
        for (key, value) in changes {
            if let value {
                batch.put(Array(key.utf8), Array(value.utf8))
            } else {
                batch.delete(Array(key.utf8))
            }
        }
        try engine.apply(batch, at: LogPosition(term: 1, index: index))
    }

    private static func rows(_ snapshot: any EngineSnapshot, _ order: ScanOrder = .ascending) throws -> [String] {
        try snapshot.rows(.all, order).map { row in
            "\(String(decoding: row.key, as: UTF8.self))=\(String(decoding: row.value, as: UTF8.self))"
        }
    }

    /// A value that fills the buffer of the tests below at once.
    private static let large = String(repeating: "x", count: 1000)

    @Test func threeLayersShowAsOne() throws {
        let below = try Below()
        try Self.apply(below.base, 1, [("a", "1"), ("b", "1"), ("c", "1"), ("e", "1")])
        let engine = try WriteBehindEngine(below, bufferBytes: 1000)
        #expect(try engine.appliedPosition.index == 1)
        below.setGate(closed: true)
        // Becomes the older layer, which is held up on its way down.
        try Self.apply(engine, 2, [("b", "2"), ("c", nil), ("d", "2"), ("f", Self.large)])
        below.waitUntilHeld()
        try Self.apply(engine, 3, [("a", nil), ("c", "3"), ("d", nil), ("f", "3")])
        let snapshot = try engine.snapshot()
        let expected = ["b=2", "c=3", "e=1", "f=3"]
        #expect(try Self.rows(snapshot) == expected)
        #expect(try Self.rows(snapshot, .descending) == expected.reversed())
        #expect(try engine.appliedPosition.index == 3)
        #expect(try engine.durablePosition.index == 1)
        below.setGate(closed: false)
        try engine.sync()
        // An old snapshot shows what it showed, whatever lies below now.
        #expect(try Self.rows(snapshot) == expected)
        #expect(try Self.rows(engine.snapshot()) == expected)
        #expect(try Self.rows(below.base.snapshot()) == expected)
        #expect(try engine.durablePosition.index == 3)
        try engine.close()
        #expect(throws: EngineError.self) { try engine.snapshot() }
    }

    @Test func aSnapshotShowsNothingNewerThanItself() throws {
        let below = try Below()
        let engine = try WriteBehindEngine(below, bufferBytes: 1000)
        try Self.apply(engine, 1, [("a", "1"), ("b", "1")])
        // What comes while the snapshot is being put together reaches the engine below before that is looked at.
        below.beforeSnapshot.withLock {
            $0 = {
                do {
                    try Self.apply(engine, 2, [("a", "2"), ("c", "2"), ("z", Self.large)])
                    try engine.sync()
                } catch {
                    Issue.record(error)
                }
            }
        }
        let rows = try Self.rows(engine.snapshot())
        #expect(rows == ["a=1", "b=1"] || rows == ["a=2", "b=1", "c=2", "z=\(Self.large)"])
        try engine.close()
    }

    @Test func writersWaitWhenTooMuchIsInMemory() throws {
        let below = try Below()
        let engine = try WriteBehindEngine(below, bufferBytes: 1000)
        below.setGate(closed: true)
        let written = Monitor(UInt64(0))
        let writer = SystemThread(name: "writer") {
            do {
                for index in 1...UInt64(20) {
                    try Self.apply(engine, index, [("key \(index)", Self.large)])
                    written.withLock { $0 = index }
                    written.broadcast()
                }
            } catch {
                Issue.record(error)
            }
        }
        // One in the older layer, and two thousand bytes in the younger one.
        _ = written.wait { $0 >= 2 ? true : nil }
        below.waitUntilHeld()
        #expect(try engine.appliedPosition.index <= 4)
        below.setGate(closed: false)
        writer.join()
        try engine.close()
        #expect(written.withLock { $0 } == 20)
    }

    @Test func aFullDiskIsToldWhenMemoryIsFullAndPasses() throws {
        let below = try Below()
        let engine = try WriteBehindEngine(below, bufferBytes: 1000)
        below.failure.withLock { $0 = EngineError(.noSpace, "full") }
        var applied: UInt64 = 0
        let error = try #require(throws: EngineError.self) {
            for index in 1...UInt64(100) {
                try Self.apply(engine, index, [("key \(index)", Self.large)])
                applied = index
            }
        }
        #expect(error.code == .noSpace)
        #expect((2...4).contains(applied))
        #expect(try engine.appliedPosition.index == applied)
        #expect(try Self.rows(engine.snapshot()).count == Int(applied))
        let onSync = try #require(throws: EngineError.self) { try engine.sync() }
        #expect(onSync.code == .noSpace)
        below.failure.withLock { $0 = nil }
        for index in (applied + 1)...20 { try Self.apply(engine, index, [("key \(index)", Self.large)]) }
        try engine.sync()
        #expect(try below.base.appliedPosition.index == 20)
        #expect(try Self.rows(below.base.snapshot()).count == 20)
        try engine.close()
    }

    @Test func anyOtherFailureStays() throws {
        let below = try Below()
        let engine = try WriteBehindEngine(below, bufferBytes: 1000)
        below.failure.withLock { $0 = EngineError(.ioFailed, "broken") }
        try Self.apply(engine, 1, [("a", Self.large)])
        below.wait(forApplied: 1)
        below.failure.withLock { $0 = nil }
        let onSync = try #require(throws: EngineError.self) { try engine.sync() }
        #expect(onSync.code == .ioFailed)
        let onApply = try #require(throws: EngineError.self) { try Self.apply(engine, 2, [("b", "2")]) }
        #expect(onApply.code == .ioFailed)
        // Reading still works, and nothing was tried again.
        #expect(try Self.rows(engine.snapshot()) == ["a=\(Self.large)"])
        let onClose = try #require(throws: EngineError.self) { try engine.close() }
        #expect(onClose.code == .ioFailed)
        #expect(below.gate.withLock { $0.applied } == 1)
        try engine.close()
    }

    @Test func positionsWithoutRowsReachTheEngineBelow() throws {
        let below = try Below()
        let engine = try WriteBehindEngine(below, bufferBytes: 1000)
        try engine.apply(WriteBatch(), at: LogPosition(term: 1, index: 7))
        #expect(try engine.appliedPosition.index == 7)
        try engine.sync()
        #expect(try below.base.appliedPosition.index == 7)
        try engine.close()
    }

    @Test func aBatchAtTheSamePositionReachesTheEngineBelow() throws {
        let below = try Below()
        let engine = try WriteBehindEngine(below, bufferBytes: 1000)
        try Self.apply(engine, 1, [("a", "1")])
        try engine.sync()
        try Self.apply(engine, 1, [("b", "1")])
        try engine.sync()
        #expect(try Self.rows(below.base.snapshot()) == ["a=1", "b=1"])
        // Also behind one that is on its way.
        below.setGate(closed: true)
        try Self.apply(engine, 2, [("c", Self.large)])
        below.waitUntilHeld()
        try Self.apply(engine, 2, [("d", "2")])
        below.setGate(closed: false)
        try engine.sync()
        #expect(try Self.rows(below.base.snapshot()).last == "d=2")
        try engine.close()
    }

    @Test func readersNeverSeeHalfABatch() async throws {
        let below = try Below()
        let engine = try WriteBehindEngine(below, bufferBytes: 2000)
        let isDone = Atomic(false)
        let writer = SystemThread(name: "writer") {
            do {
                // Each batch sets the same keys, moves one key on, and removes the one before.
                for index in 1...UInt64(3000) {
                    var changes = (0..<5).map { ("key \($0)", Optional("\(index)")) }
                    changes.append(("moving \(index)", "\(index)"))
                    if index > 1 { changes.append(("moving \(index - 1)", nil)) }
                    try Self.apply(engine, index, changes)
                }
            } catch {
                Issue.record(error)
            }
            isDone.store(true, ordering: .releasing)
        }
        var last = 0
        var order = ScanOrder.ascending
        while !isDone.load(ordering: .acquiring) {
            let rows = try Self.rows(engine.snapshot(), order)
            order = order == .ascending ? .descending : .ascending
            guard let row = rows.first, let value = row.split(separator: "=").last.flatMap({ Int($0) }) else {
                continue
            }
            #expect(value >= last)
            last = value
            let keys = (0..<5).map { "key \($0)=\(value)" } + ["moving \(value)=\(value)"]
            if Set(rows) != Set(keys) || rows.count != 6 { Issue.record("\(rows)") }
        }
        writer.join()
        #expect(try Self.rows(engine.snapshot()).contains("moving 3000=3000"))
        try engine.close()
    }
}
