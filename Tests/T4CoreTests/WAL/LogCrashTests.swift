import T4Conformance
import T4Core
import T4Protocols
import Testing

/// Goal: over many lives everything whose sync returned is there, in order, and nothing that was never appended.
/// Method: random batches from a seed; each life ends at a random call by death of the process, by a failed call or by
/// power failure; entries carry the life they are from, so one that comes back from an earlier life shows.
@Suite struct LogCrashTests {
    private struct Life {
        var fileSystem = SimulatedFileSystem()
        /// Every entry the log may hold, in order.
        var appended: [LogEntry] = []
        /// How many of them must be there.
        var promised = 0
        var term: UInt64 = 1
        var number = 0
    }

    @Test(arguments: 0..<8)
    func nothingPromisedIsLostAndNothingInvented(_ group: Int) throws {
        for round in 0..<40 {
            let seed = UInt64(group * 1000 + round)
            var random = SeededGenerator(seed: seed)
            var life = Life()
            for _ in 0..<8 {
                try Self.live(&life, &random, seed)
                if Bool.random(using: &random) {
                    life.fileSystem = life.fileSystem.powerLoss(&random)
                } else {
                    life.fileSystem.arm(nil)
                }
            }
            life.fileSystem.arm(nil)
            let found = try LogFixture.recover(life.fileSystem)
            Self.check(found, life, seed)
        }
    }

    private static func live(_ life: inout Life, _ random: inout SeededGenerator, _ seed: UInt64)
        throws
    {
        life.number += 1
        switch Int.random(in: 0..<4, using: &random) {
        case 0:
            let call: SimulatedFileSystem.Call = [.syncData, .write, .rename, .syncDirectory]
                .randomElement(using: &random)!
            life.fileSystem.arm(.failing(call, nth: Int.random(in: 1...25, using: &random), .ioFailed))
        case 1: life.fileSystem.arm(nil)
        default: life.fileSystem.arm(.dying(nth: Int.random(in: 1...60, using: &random)))
        }
        var found: [LogEntry] = []
        let opened: Log.Opened
        do {
            opened = try LogFixture.open(life.fileSystem) { found.append($0) }
        } catch {
            // Died or failed while opening; damage would be a mistake of the log.
            #expect(error.code == .ioFailed, "seed \(seed): \(error)")
            return
        }
        check(found, life, seed)
        #expect(opened.end.index == found.count, "seed \(seed)")
        (life.appended, life.promised) = (found, found.count)
        do {
            for _ in 0..<Int.random(in: 1...25, using: &random) {
                try step(opened.writer, &life, &random)
            }
        } catch {
            #expect(error.code == .ioFailed, "seed \(seed): \(error)")
        }
        life.promised = max(life.promised, Int(opened.writer.syncedPosition.index))
        opened.writer.close()
    }

    private static func step(
        _ writer: LogWriter, _ life: inout Life, _ random: inout SeededGenerator
    ) throws(LogError) {
        switch Int.random(in: 0..<12, using: &random) {
        case 0: _ = try writer.seal()
        case 1, 2, 3: try writer.sync()
        default:
            if Int.random(in: 0..<6, using: &random) == 0 { life.term += 1 }
            let first = life.appended.count + 1
            let count = Int.random(in: 1...6, using: &random)
            let size =
                Int.random(in: 0..<10, using: &random) == 0 ? 5000 : Int.random(in: 0...300, using: &random)
            var entries = LogFixture.entries(first...first + count - 1, term: life.term, bodySize: size)
            for index in entries.indices {
                entries[index].kind = LogEntry.Kind(rawValue: UInt8(life.number))
            }
            // Appended first: a failed append may have written any part.
            life.appended += entries
            try writer.append(entries)
            if Bool.random(using: &random) { try writer.sync() }
        }
    }

    private static func check(_ found: [LogEntry], _ life: Life, _ seed: UInt64) {
        #expect(
            found.count >= life.promised, "seed \(seed): \(life.promised) promised, \(found.count) found")
        #expect(
            found[...] == life.appended.prefix(found.count),
            "seed \(seed): entries differ from what was appended")
    }

    @Test func unsyncedBytesMayGoAtEverySync() throws {
        let batches = [1...1, 2...6, 7...30, 31...31, 32...70].map { LogFixture.entries($0) }
        let all = Array(batches.joined())
        let total = {
            let fileSystem = SimulatedFileSystem()
            let writer = try LogFixture.open(fileSystem).writer
            fileSystem.arm(nil)
            for batch in batches { try writer.appendAndSync(batch) }
            return fileSystem.changeCount
        }
        for nth in 1...(try total()) + 1 {
            let fileSystem = SimulatedFileSystem()
            let writer = try LogFixture.open(fileSystem).writer
            fileSystem.arm(.dying(nth: nth))
            do {
                for batch in batches { try writer.appendAndSync(batch) }
            } catch {
                #expect(error.code == .ioFailed)
            }
            let promised = Int(writer.syncedPosition.index)
            for seed in 0..<20 {
                var random = SeededGenerator(seed: UInt64(nth * 100 + seed))
                let found = try LogFixture.recover(fileSystem.powerLoss(&random))
                #expect(
                    found.count >= promised && found[...] == all.prefix(found.count),
                    "call \(nth), seed \(seed)")
            }
        }
    }
}
