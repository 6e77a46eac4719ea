import T4Conformance
import T4Core
import T4Protocols
import Testing

/// Goal: each call that can fail may do so once: the writer then takes nothing more and never syncs again, and the next
/// start finds everything that was promised, also if the power goes right after it.
/// Method: a fixed workload with the nth call of each kind failing, for every n.
@Suite struct LogFaultTests {
    private static let batches = [1...3, 4...4, 5...40, 41...60, 61...120, 121...125].map {
        LogFixture.entries($0)
    }

    /// Runs until the first error; returns how many entries were promised.
    private static func work(_ writer: LogWriter) -> (promised: Int, error: LogError?) {
        do {
            for batch in batches {
                try writer.append(batch)
                try writer.sync()
                if batch.count == 20 { _ = try writer.seal() }
            }
            return (Int(writer.syncedPosition.index), nil)
        } catch {
            return (Int(writer.syncedPosition.index), error)
        }
    }

    @Test(
        arguments: [
            SimulatedFileSystem.Call.create, .rename, .syncDirectory, .write, .syncData, .truncate,
        ],
        [LogError.Code.ioFailed, .noSpace])
    func everyCallOfTheWriterMayFailOnce(_ call: SimulatedFileSystem.Call, _ code: LogError.Code)
        throws
    {
        let all = Array(Self.batches.joined())
        for nth in 1...200 {
            let fileSystem = SimulatedFileSystem()
            let writer = try LogFixture.open(fileSystem).writer
            fileSystem.arm(.failing(call, nth: nth, code))
            let (promised, error) = Self.work(writer)
            guard let error else {
                #expect(nth > 2, "\(call) is never called")
                #expect(promised == all.count)
                return
            }
            #expect(error.code == code && error.path != nil)
            #expect(!writer.isUsable)
            let changes = fileSystem.changeCount
            let next = LogFixture.entries(promised + 1...promised + 1)
            for attempt in [
                { try writer.append(next) }, { try writer.sync() }, { _ = try writer.seal() },
            ] {
                let refused = #expect(throws: LogError.self) { try attempt() }
                #expect(refused?.code == .failed && refused?.cause is LogError)
            }
            #expect(fileSystem.changeCount == changes, "a failed writer still writes")
            for seed in 0..<4 {
                var random = SeededGenerator(seed: UInt64(nth * 10 + seed))
                let afterPowerLoss = try LogFixture.recover(fileSystem.powerLoss(&random))
                #expect(
                    afterPowerLoss.count >= promised
                        && afterPowerLoss[...] == all.prefix(afterPowerLoss.count))
            }
            // The process only: what it finds in the page cache becomes a promise, although a sync of it failed before.
            fileSystem.arm(nil)
            let found = try LogFixture.recover(fileSystem)
            #expect(found.count >= promised && found[...] == all.prefix(found.count))
            for seed in 0..<4 {
                var random = SeededGenerator(seed: UInt64(nth * 10 + seed))
                #expect(try LogFixture.recover(fileSystem.powerLoss(&random)) == found)
            }
        }
        Issue.record("the workload makes more than 200 calls of \(call)")
    }

    @Test(arguments: SimulatedFileSystem.Call.allCases.filter { $0 != .truncate && $0 != .freeBytes })
    func everyCallOfAnOpenMayFailOnce(_ call: SimulatedFileSystem.Call) throws {
        let source = try LogFixture.log(Self.batches)
        for nth in 1...200 {
            let fileSystem = source.copy()
            // Something to tidy up, so that `remove` is called.
            fileSystem.setContents("log/next-1.tmp", [0])
            fileSystem.arm(.failing(call, nth: nth, .ioFailed))
            let error: LogError?
            do {
                try LogFixture.open(fileSystem).writer.close()
                error = nil
            } catch let failure {
                error = failure
            }
            fileSystem.arm(nil)
            #expect(try LogFixture.recover(fileSystem) == Array(Self.batches.joined()))
            #expect(!fileSystem.paths.contains { $0.hasSuffix(".tmp") })
            if error == nil {
                #expect(nth > 1, "\(call) is never called")
                return
            }
        }
    }

    @Test func failedPreparationOnlyCostsSpeed() throws {
        var configuration = LogFixture.small
        configuration.preparesInBackground = true
        let fileSystem = SimulatedFileSystem()
        fileSystem.arm(.failing(.create, nth: 1, .noSpace))
        let writer = try LogFixture.open(fileSystem, configuration).writer
        fileSystem.wait(for: 1, .create)
        for batch in Self.batches { try writer.appendAndSync(batch) }
        writer.close()
        #expect(!fileSystem.paths.contains { $0.hasSuffix(".tmp") })
        #expect(try LogFixture.recover(fileSystem) == Array(Self.batches.joined()))
    }

    @Test func closedWriterTakesNothing() throws {
        let fileSystem = SimulatedFileSystem()
        let writer = try LogFixture.open(fileSystem).writer
        writer.close()
        writer.close()
        let error = #expect(throws: LogError.self) { try writer.append(LogFixture.entries(1...1)) }
        #expect(error?.code == .failed)
    }
}
