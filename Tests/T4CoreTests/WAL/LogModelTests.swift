import T4Conformance
import T4Core
import T4Protocols
import Testing

/// Goal: a log that is appended to, cut off at its end, sealed, removed from its beginning and read holds what an array
/// holds, over many lives, and after a crash what had to survive it.
/// Method: random steps from a seed; each life ends at a random call by death of the process, by a failed call or by
/// power failure. Entries carry the life and the number of cuts they are from.
@Suite struct LogModelTests {
    @Test(arguments: 0..<4)
    func holdsWhatAnArrayHolds(_ group: Int) throws {
        for round in 0..<40 {
            let seed = UInt64(group * 1000 + round)
            var random = SeededGenerator(seed: seed)
            var model = ModelLog("seed \(seed)")
            for _ in 0..<10 {
                Self.live(&model, &random, seed)
                model.close()
                if Bool.random(using: &random) { model.fileSystem = model.fileSystem.powerLoss(&random) }
                model.fileSystem.arm(nil)
            }
            try model.open()
            model.close()
        }
    }

    private static func live(_ model: inout ModelLog, _ random: inout SeededGenerator, _ seed: UInt64) {
        switch Int.random(in: 0..<4, using: &random) {
        case 0:
            let call: SimulatedFileSystem.Call = [.syncData, .write, .rename, .syncDirectory, .remove, .truncate]
                .randomElement(using: &random)!
            model.fileSystem.arm(.failing(call, nth: Int.random(in: 1...20, using: &random), .ioFailed))
        case 1: break
        default: model.fileSystem.arm(.dying(nth: Int.random(in: 1...90, using: &random)))
        }
        var configuration = LogFixture.small
        configuration.recentSizeMax = [0, 1500, 1 << 20].randomElement(using: &random)!
        do {
            try model.open(configuration)
            for _ in 0..<Int.random(in: 1...40, using: &random) { try step(&model, &random) }
        } catch {
            // Anything else would be a mistake of the log.
            #expect(error.code == .ioFailed, "seed \(seed): \(error)")
        }
    }

    private static func step(_ model: inout ModelLog, _ random: inout SeededGenerator) throws(LogError) {
        switch Int.random(in: 0..<20, using: &random) {
        case 0: try model.seal()
        case 1, 2: try model.sync()
        case 3, 4:
            // Mostly near the end, now and then over several segments, back to the beginning.
            let far = Int.random(in: 0..<3, using: &random) == 0
            let first = far ? model.base.index : max(model.base.index, model.last.index - min(8, model.last.index))
            try model.truncate(after: UInt64.random(in: first...model.last.index, using: &random))
        case 5:
            guard model.promised >= model.base.index else { return }
            try model.removeSegments(
                below: UInt64.random(in: model.base.index...model.promised, using: &random) + 1)
        case 6...10:
            let first = UInt64.random(in: 1...model.last.index + 2, using: &random)
            let last = Bool.random(using: &random) ? .max : first + UInt64.random(in: 0...20, using: &random)
            try model.read(from: first, through: last, maxBytes: [1, 1000, 100_000].randomElement(using: &random)!)
        default:
            var term = max(model.last.term, 1)
            var terms: [UInt64] = []
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                if Int.random(in: 0..<8, using: &random) == 0 { term += UInt64.random(in: 1...3, using: &random) }
                terms.append(term)
            }
            let isLarge = Int.random(in: 0..<12, using: &random) == 0
            try model.append(terms: terms, bodySize: isLarge ? 5000 : Int.random(in: 0...300, using: &random))
            if Bool.random(using: &random) { try model.sync() }
        }
    }

    /// Several segments and terms, cut in the open one, in a sealed one, between two, and back to the beginning.
    private static func script(_ model: inout ModelLog) throws(LogError) {
        for number in 0..<12 {
            try model.append(terms: Array(repeating: 1 + UInt64(number / 5), count: 8))
            try model.sync()
        }
        // Not synced when it is cut.
        try model.append(terms: [3, 3, 4, 5, 5])
        try model.truncate(after: 98)
        try model.append(terms: [6, 6, 7])
        try model.sync()
        try model.truncate(after: 50)
        try model.append(terms: [6, 8, 8, 9])
        try model.seal()
        try model.append(terms: [9, 9])
        try model.sync()
        try model.truncate(after: 54)
        try model.append(terms: Array(repeating: 10, count: 60))
        try model.removeSegments(below: 54)
        #expect(model.base.index > 40)
        try model.append(terms: [11])
        try model.truncate(after: model.base.index)
        try model.append(terms: [12, 13, 13])
        try model.sync()
    }

    @Test func crashAtEveryChangeLeavesTheOldLogOrTheBeginningThatWasToStay() throws {
        var whole = ModelLog("whole")
        try whole.open()
        whole.fileSystem.arm(nil)
        try Self.script(&whole)
        let count = whole.fileSystem.changeCount
        whole.close()
        #expect(count > 100)
        for nth in 1...count {
            var model = ModelLog("change \(nth)")
            try model.open()
            model.fileSystem.arm(.dying(nth: nth))
            do {
                try Self.script(&model)
                Issue.record("change \(nth) never came")
            } catch {
                #expect(error.code == .ioFailed, "change \(nth): \(error)")
            }
            model.close()
            for seed in 0..<20 {
                var random = SeededGenerator(seed: UInt64(nth * 100 + seed))
                var next = model
                next.fileSystem = model.fileSystem.powerLoss(&random)
                try next.open()
                try next.append(terms: [next.last.term + 1])
                next.close()
            }
            model.fileSystem.arm(nil)
            try model.open()
            model.close()
        }
    }
}
