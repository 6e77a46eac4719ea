// Goal: a conversion keeps everything, and one that is cut off or fails leaves the old engine in use. Method: between
// all engines that keep something on disk; the data directory is copied at moments at which a process might be killed,
// and nodes are started on the copies.
import Foundation
import Synchronization
import T4BuiltIns
import T4Protocols
import Testing

@testable import T4Core

@Suite(.enabled(if: !ConversionFixture.enginesOnDisk.isEmpty, "no engine of this build keeps anything on disk"))
struct EngineConversionTests {
    private static let first = ConversionFixture.enginesOnDisk.first ?? ""

    @Test(arguments: ConversionFixture.ways)
    func everythingIsThereAfterwards(_ from: String, _ to: String) async throws {
        let fixture = try ConversionFixture()
        let before = try await fixture.fill(from)
        let report = try fixture.convert(to: to)
        #expect(report.from == from && report.to == to)
        #expect(report.engineDirectory == fixture.directory + "/engine/2")
        #expect(report.rows > 200 && report.bytes > 5_000_000 && report.sizeAfter > 0 && report.sizeBefore > 0)
        #expect(try fixture.generations() == ["2", "state"])
        let summary = try fixture.summary()
        #expect(summary.engine == to)
        #expect(summary.keyCount == before.count)
        #expect(summary.revision == before.revision)

        let node = try fixture.open(to)
        #expect(try ConversionFixture.content(of: node) == before)
        try await node.put(PutRequest(key: [UInt8]("after"), value: [1]))
        #expect(node.revision.rawValue == before.revision.rawValue + 1)
        try node.stopAndWait()
        #expect(try fixture.content(to).count == before.count + 1)
        // And back.
        #expect(try fixture.convert(to: from).rows == report.rows + 2)
        #expect(try fixture.content(from).count == before.count + 1)
    }

    @Test func theRowsOfAKilledNodeAreConvertedToo() async throws {
        let fixture = try ConversionFixture()
        _ = try await fixture.fill(Self.first)
        let node = try fixture.open(Self.first)
        try await node.put(PutRequest(key: [UInt8]("last"), value: [1]))
        let content = try ConversionFixture.content(of: node)
        let killed = try fixture.copy("killed")
        try node.stopAndWait()
        _ = try fixture.convert(to: "second", killed)
        #expect(try fixture.content("second", killed) == content)
    }

    @Test func aCrashLeavesOneOfBothEnginesInUse() async throws {
        let fixture = try ConversionFixture()
        let before = try await fixture.fill(Self.first)
        let directory = fixture.directory
        let copies = Mutex<[String]>([])
        let registry = ConversionFixture.registry { engine, context in
            guard !context.isReadOnly else { return engine }
            return WatchedEngine(engine) { (moment) throws(EngineError) in
                let name: String
                switch moment {
                case .row(let count) where [1, 2, 50, 150].contains(count): name = "row-\(count)"
                case .row: return
                case .synced: name = "synced"
                case .closing: name = "closing"
                }
                let path = "\(directory)-\(name)"
                do {
                    // The engine is closed a second time once it is in use.
                    guard !FileManager.default.fileExists(atPath: path) else { return }
                    try FileManager.default.copyItem(atPath: directory, toPath: path)
                } catch { throw EngineError(.ioFailed, "no copy: \(error)") }
                copies.withLock { $0.append(path) }
            }
        }
        #expect(try fixture.convert(to: "second", registry: registry).rows > 200)
        let crashed = copies.withLock { $0 }
        #expect(crashed.count == 6)
        for copy in crashed {
            #expect(try fixture.generations(copy) == ["1", "2", "state"], "\(copy)")
            // Another conversion takes the leftovers away, and so does a start.
            let again = copy + "-again"
            try FileManager.default.copyItem(atPath: copy, toPath: again)
            _ = try fixture.convert(to: "second", again)
            #expect(try fixture.generations(again) == ["2", "state"], "\(copy)")
            #expect(try fixture.content("second", again) == before, "\(copy)")
            #expect(throws: EngineMismatch.self, "\(copy)") { try fixture.open("second", copy) }
            #expect(try fixture.content(Self.first, copy) == before, "\(copy)")
            #expect(try fixture.generations(copy) == ["1", "state"], "\(copy)")
        }
        // Behind the switch, before the old generation is gone.
        let last = try #require(crashed.last)
        try FileManager.default.copyItem(atPath: last + "/engine/1", toPath: directory + "/engine/1")
        try Data("generation 9".utf8).write(to: URL(filePath: directory + "/engine/state.new"))
        #expect(throws: EngineMismatch.self) { try fixture.open(Self.first) }
        #expect(try fixture.content("second") == before)
        #expect(try fixture.generations() == ["2", "state"])
    }

    @Test(arguments: [WatchedEngine.Moment.row(20), .synced, .closing])
    func aFailureLeavesTheOldEngineInUse(_ moment: WatchedEngine.Moment) async throws {
        let fixture = try ConversionFixture()
        let before = try await fixture.fill(Self.first)
        let registry = ConversionFixture.registry { engine, _ in
            WatchedEngine(engine) { (now) throws(EngineError) in
                if now == moment { throw EngineError(.noSpace, "the disk of this test is full") }
            }
        }
        let error = #expect(throws: EngineError.self) { try fixture.convert(to: "second", registry: registry) }
        #expect(error?.code == .noSpace)
        #expect(try fixture.generations() == ["1", "state"])
        #expect(try fixture.content(Self.first) == before)
    }

    @Test func anEngineThatLosesARowIsNotSwitchedTo() async throws {
        let fixture = try ConversionFixture()
        let before = try await fixture.fill(Self.first)
        let registry = ConversionFixture.registry { engine, _ in
            WatchedEngine(engine) { (moment) throws(EngineError) in
                guard moment == .synced else { return }
                var batch = WriteBatch()
                batch.delete(Keyspace.currentKey([UInt8]("key 7")))
                try engine.apply(batch, at: engine.appliedPosition)
            }
        }
        let error = #expect(throws: EngineConversion.Failure.self) {
            try fixture.convert(to: "second", registry: registry)
        }
        #expect(error?.description.contains("does not hold what was copied into it") == true)
        #expect(try fixture.content(Self.first) == before)
    }

    @Test func whatCannotBeConvertedIsRefused() async throws {
        let fixture = try ConversionFixture()
        func refusal(to engine: String, registry: BackendRegistry = ConversionFixture.registry()) -> String {
            do {
                return "converted: \(try fixture.convert(to: engine, registry: registry))"
            } catch {
                return "\(error)"
            }
        }
        #expect(refusal(to: "second").contains("\(fixture.directory) is not a data directory of t4"))
        #expect(!FileManager.default.fileExists(atPath: fixture.directory))
        let node = try fixture.open(Self.first)
        #expect(refusal(to: "second").contains("is in use by another t4 process (pid \(getpid()))"))
        try await node.put(PutRequest(key: [1], value: [1]))
        try node.stopAndWait()
        let known = ConversionFixture.registry().engineNames.joined(separator: ", ")
        #expect(refusal(to: "nosuch") == "no engine named \"nosuch\" in this build (known: \(known))")
        #expect(refusal(to: "memory").contains("the engine \"memory\" keeps nothing on disk"))
        let volatile = ConversionFixture.registry { engine, _ in WatchedEngine(engine, isVolatile: true) { _ in } }
        #expect(refusal(to: "second", registry: volatile).contains("the engine \"second\" keeps nothing on disk"))
        #expect(try fixture.generations() == ["1", "state"])
        var state = try #require(try EngineHome.readState(fixture.directory + "/engine"))
        state.type = "gone"
        try EngineHome.writeState(state, fixture.directory + "/engine")
        #expect(refusal(to: Self.first).contains("no engine named \"gone\" in this build"))
    }

    /// After a loss of power an engine that does not promise to survive it is no copy of anything.
    @Test func anEngineThatPowerLossMayHaveHurtIsNotConverted() async throws {
        let fixture = try ConversionFixture()
        let before = try await fixture.fill("second")
        let isSafe = try fixture.open("second").stopped { $0.engine.capabilities.isPowerLossSafe }
        var state = try #require(try EngineHome.readState(fixture.directory + "/engine"))
        state.boot = "another"
        state.isClean = false
        try EngineHome.writeState(state, fixture.directory + "/engine")
        if isSafe {
            _ = try fixture.convert(to: Self.first)
        } else {
            let error = #expect(throws: EngineConversion.Failure.self) { try fixture.convert(to: Self.first) }
            #expect(error?.description.contains("the machine went down") == true)
            #expect(try fixture.content("second") == before)
        }
    }

    @Test func rowsComeInPortions() throws {
        let engine = try BackendRegistry.builtIn.makeEngine(
            "memory", settings: NoSettings(),
            context: EngineContext(directory: "/nonexistent", isReadOnly: false, logger: quietLogger))
        var batch = WriteBatch()
        for number in 0..<500 {
            batch.put(Array("row \(number)".utf8), [UInt8](repeating: 1, count: number % 7 == 0 ? 300 : number % 5))
        }
        batch.put([0], [])
        batch.put([0, 0], [1])
        try engine.apply(batch, at: LogPosition(term: 1, index: 1))
        var wanted: [[UInt8]] = []
        try engine.snapshot().scan(.all, order: .ascending) { key, value in
            wanted.append(key.copyBytes() + [0xFF] + value.copyBytes())
            return .next
        }
        var digests: Set<[UInt8]> = []
        for size in [1, 200, 4 << 20] {
            let rows = SnapshotRows(try engine.snapshot(), portionBytesMax: size)
            var found: [[UInt8]] = []
            while try rows.next(visit: { found.append($0.copyBytes() + [0xFF] + $1.copyBytes()) }) {}
            #expect(found == wanted, "portions of \(size) bytes")
            #expect(try rows.next(visit: { _, _ in }) == false)
            #expect(rows.count == 502)
            digests.insert(rows.digest)
        }
        #expect(digests.count == 1)
        batch.removeAll()
        batch.put([0], [2])
        try engine.apply(batch, at: LogPosition(term: 1, index: 2))
        let changed = SnapshotRows(try engine.snapshot())
        try changed.drain()
        #expect(!digests.contains(changed.digest))
    }
}

/// Which engine a data directory may be opened with.
@Suite(.enabled(if: !ConversionFixture.enginesOnDisk.isEmpty, "no engine of this build keeps anything on disk"))
struct EngineMismatchTests {
    @Test(arguments: ConversionFixture.enginesOnDisk, ["memory", "other"])
    func anotherEngineThanTheOneOnDiskIsRefused(_ held: String, _ named: String) async throws {
        let fixture = try ConversionFixture()
        let before = try await fixture.fill(held)
        let wanted = named == "other" ? ConversionFixture.enginesOnDisk.first { $0 != held } ?? "memory" : named
        let state = try DurableFile.read(fixture.directory + "/engine/state")
        let error = #expect(throws: EngineMismatch.self) { try fixture.open(wanted) }
        let text = error?.description ?? ""
        for part in [
            "holds an engine \"\(held)\"", "the configuration names \"\(wanted)\"",
            "t4 engine convert --to \(wanted) --data-dir \(fixture.directory)",
        ] { #expect(text.contains(part), "no '\(part)' in: \(text)") }
        #expect(try DurableFile.read(fixture.directory + "/engine/state") == state)
        #expect(try fixture.content(held) == before)
    }

    /// Nothing of the memory engine is on disk, so any engine may be filled from the log in its place.
    @Test(arguments: ConversionFixture.enginesOnDisk)
    func anyEngineMayFollowOneThatKeptNothing(_ engine: String) async throws {
        let fixture = try ConversionFixture()
        let before = try await fixture.fill("memory")
        let error = #expect(throws: EngineConversion.Failure.self) { try fixture.convert(to: engine) }
        #expect(error?.description.contains("the engine \"memory\" keeps nothing on disk") == true)
        #expect(try fixture.content(engine) == before)
        #expect(throws: EngineMismatch.self) { try fixture.open("memory") }
    }
}

extension Node {
    /// Asks a node something and stops it.
    fileprivate func stopped<Answer>(_ ask: (Node) throws -> Answer) throws -> Answer {
        let answer = try ask(self)
        try stopAndWait()
        return answer
    }
}
