import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

@Suite struct CheckpointWriterTests {
    @Test(arguments: BackendRegistry.builtIn.engineNames, [UInt64](1...3))
    func eachCheckpointLoadsIntoEachEngine(_ engine: String, _ seed: UInt64) async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try CheckpointFixture(base, seed: seed)
            for number in 1...6 as ClosedRange<UInt64> {
                for size in [1, 70, 3] { try fixture.extend(size) }
                let written = try #require(try fixture.writer().write(fixture.mark()))
                let (head, file) = try fixture.newest()
                #expect(file == written.file && head.checkpoint == written.key.rawValue)
                #expect(head.sequence == number && head.index == fixture.history.position.index)
                #expect(written.tableCount > 0 && written.size > 0)
                let target = try EngineFixture(engine)
                try fixture.load(file, into: target.engine)
                try fixture.history.compact()
                let (left, right) = try (dump(target.engine.snapshot()), dump(fixture.history.engine.snapshot()))
                #expect(left.count == right.count)
                #expect(zip(left, right).allSatisfy { $0.name == $1.name && $0.value == $1.value })
                let durable = try target.engine.durablePosition
                #expect(durable == (engine == "memory" ? .zero : fixture.history.position))
            }
        }
    }

    /// Rule C1.
    @Test func idsDoNotDependOnTheEngine() async throws {
        var ids: [String: Set<[String]>] = [:]
        for engine in BackendRegistry.builtIn.engineNames {
            let base = try await makeMemoryStore()
            let found = try await onThread {
                let source = try EngineFixture(engine)
                let fixture = try CheckpointFixture(base, seed: 8, engine: source.engine)
                return try (1...4).map { _ in
                    try fixture.extend(60)
                    let file = try #require(try fixture.writer().write(fixture.mark())).file
                    return [file.id] + file.checkpoint.tables.map(\.id)
                }
            }
            for (number, checkpoint) in found.enumerated() { ids["\(number)", default: []].insert(checkpoint) }
        }
        #expect(ids.count == 4)
        #expect(ids.values.allSatisfy { $0.count == 1 })
    }

    @Test func nothingIsWrittenWhenNothingCame() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try CheckpointFixture(base)
            try fixture.extend(20)
            let old = try fixture.mark()
            try fixture.extend(20)
            _ = try #require(try fixture.writer().write(fixture.mark()))
            let names = try fixture.names
            let versions = try fixture.newest().head.nonce
            for mark in [old, try fixture.mark()] {
                let written = try fixture.writer().write(mark)
                #expect(written == nil)
            }
            let (after, nonce) = try (fixture.names, fixture.newest().head.nonce)
            #expect(after == names && nonce == versions)
        }
    }

    /// Checkpoints of one revision have names of their own, and each stays readable.
    @Test func checkpointsOfOneRevisionHaveTheirOwnNames() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try CheckpointFixture(base)
            try fixture.extend(20)
            let (before, behind) = try fixture.extendToEntryWithoutRevision()
            let first = try #require(try fixture.writer().write(before))
            let second = try #require(try fixture.writer().write(behind))
            #expect(first.file.checkpoint.revision == second.file.checkpoint.revision)
            let names = try fixture.checkpoints.checkpoints()
            #expect(Set(names) == [first.key, second.key] && first.key != second.key)
            let files = try [first.key, second.key].map(fixture.checkpoints.manifest)
            #expect(files == [first.file, second.file])
        }
    }

    @Test func aMarkThatTheLogDoesNotReachIsRefused() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try CheckpointFixture(base)
            try fixture.extend(20)
            var beyond = try fixture.mark()
            beyond.position.index += 1
            var elsewhere = try fixture.mark()
            elsewhere.meta.revision = elsewhere.meta.revision.next
            for mark in [beyond, elsewhere] {
                let error = #expect(throws: CheckpointError.self) { try fixture.writer().write(mark) }
                #expect(error?.code == .invalidArgument)
            }
            let head = try fixture.checkpoints.head()
            #expect(head == nil)
        }
    }

    // MARK: - Faults

    @Test(arguments: ["sst/", "checkpoint/", "manifest/"])
    func aWriterThatDiesIsRepeated(_ prefix: String) async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try CheckpointFixture(base)
            for _ in 0..<2 {
                try fixture.extend(50)
                let before = try fixture.checkpoints.head()?.version
                let faulty = FaultyStore(base, faults: [StoreFault(.put, prefix: prefix)])
                #expect(throws: ObjectStoreError.self) { try fixture.writer(on: faulty).write(fixture.mark()) }
                let after = try fixture.checkpoints.head()?.version
                #expect(after == before)
                let tried = try fixture.checkpoints.checkpoints()
                let written = try #require(try fixture.writer().write(fixture.mark()))
                let names = try fixture.checkpoints.checkpoints()
                if prefix == "manifest/" { #expect(names == tried, "the manifest that was there is this one") }
                #expect(names.last == written.key)
                let file = try fixture.newest().file
                try fixture.load(file, into: CheckpointHistory.makeEngine())
            }
        }
    }

    @Test(arguments: [StoreFault.Moment.beforeEffect, .afterEffect])
    func anUnknownSwapIsSettled(_ moment: StoreFault.Moment) async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try CheckpointFixture(base)
            for number in 1...3 as ClosedRange<UInt64> {
                try fixture.extend(10)
                let faulty = FaultyStore(
                    base, faults: [StoreFault(.put, prefix: "manifest/", moment, error: .outcomeUnknown)])
                let written = try fixture.writer(on: faulty).write(fixture.mark())
                let head = try fixture.newest().head
                #expect(head.id == written?.file.id && head.sequence == number)
            }
        }
    }

    @Test func aSwapWhoseOutcomeStaysUnknownIsGivenUp() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try CheckpointFixture(base)
            try fixture.extend(10)
            let fault = StoreFault(.put, prefix: "manifest/", .beforeEffect, .from(1), error: .outcomeUnknown)
            let error = #expect(throws: ObjectStoreError.self) {
                try fixture.writer(on: FaultyStore(base, faults: [fault])).write(fixture.mark())
            }
            #expect(error?.code == .outcomeUnknown)
            let written = try fixture.writer().write(fixture.mark())
            #expect(written != nil)
        }
    }

    @Test(arguments: [false, true]) func aSwapLostToAnotherWriterIsAnError(_ isFirst: Bool) async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try CheckpointFixture(base)
            if !isFirst {
                try fixture.extend(30)
                _ = try fixture.writer().write(fixture.mark())
            }
            try fixture.extend(30)
            let mark = try fixture.mark()
            let held = HeldStore(base, prefix: StoreLayout.head)
            let log = fixture.store
            let outcome = Monitor<Result<CheckpointWriter.Written?, any Error>?>(nil)
            let thread = SystemThread(name: "writer") {
                let result = Result { try CheckpointFixture.writer(on: held, log: log).write(mark) }
                outcome.withLock { $0 = result }
            }
            held.waitForHeld(1)
            try fixture.extend(30)
            let winner = try #require(try fixture.writer().write(fixture.mark()))
            held.open()
            thread.join()
            let error = #expect(throws: CheckpointError.self) { try outcome.withLock { $0 }?.get() }
            #expect(error?.description.contains(winner.key.rawValue) == true)
            let (head, file) = try fixture.newest()
            #expect(head.id == winner.file.id)
            try fixture.load(file, into: CheckpointHistory.makeEngine())
        }
    }
}
