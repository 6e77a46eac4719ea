import T4Protocols

extension EngineRules {
    /// What a killed process leaves behind.
    static let killRules = [
        EngineRule("a killed writer leaves whole batches, and all that was durable", needs: [.files, .childProgram]) {
            engine in
            try await engine.withStorage { storage in
                var generator = SeededGenerator(seed: 5)
                var run = KillRun(storage: storage, workload: Workload(seed: 5))
                for round in 1...12 {
                    do {
                        try run.round(
                            acknowledged: Int.random(in: 1...50, using: &generator),
                            delay: Double.random(in: 0..<1, using: &generator))
                    } catch {
                        throw RuleViolation("kill \(round): \(error)")
                    }
                }
            }
        },
        EngineRule("a killed bulk load is whole, empty, or told at open", needs: [.files, .childProgram]) { engine in
            let count = 20_000
            // Between the rows, behind the last one, and after the load.
            for moment in [1000, 7000, 15_000, count, count + 1] {
                try await engine.withStorage { storage in
                    let child = try storage.startChild(.load(directory: storage.directory, rows: count))
                    if moment > count {
                        try child.wait(for: .synced)
                    } else {
                        while let line = try child.next(), line.word != .loading || line.number < moment {}
                    }
                    let isDurable = try child.killNow().contains { $0.word == .synced } || moment > count
                    do {
                        try checkLoaded(storage, count: count, isDurable: isDurable)
                    } catch {
                        throw RuleViolation("killed after \(moment) of \(count) rows: \(error)")
                    }
                }
            }
        },
    ]

    private static func checkLoaded(_ storage: EngineStorage, count: Int, isDurable: Bool) throws {
        let engine: any LocalEngine
        do {
            engine = try storage.open()
        } catch let error as EngineError where error.code == .corrupted && !isDurable {
            // The directory is to be emptied and used again.
            try storage.empty()
            let again = try storage.open()
            try expectRows(again.snapshot().rows(), [], "rows in the emptied directory")
            return try again.close()
        }
        let position = try engine.appliedPosition
        let rows = try engine.snapshot().rows()
        if position == .zero {
            try expect(!isDurable, "the load had returned, and nothing is left")
            try expectRows(rows, [], "rows at position zero")
        } else {
            try expectEqual(position, LoadRows.position, "applied position")
            try expectRows(rows, (0..<count).map(LoadRows.row), "rows at the position of the load")
        }
        try engine.close()
    }
}

/// One directory through several processes, all of which are killed.
private struct KillRun {
    let storage: EngineStorage
    let workload: Workload
    /// Index that the last process was found to have left.
    private var left: UInt64 = 0

    init(storage: EngineStorage, workload: Workload) {
        self.storage = storage
        self.workload = workload
    }

    /// Kills a writer after so many lines and a part of the time that it takes for one.
    mutating func round(acknowledged count: Int, delay: Double) throws {
        let child = try storage.startChild(.write(directory: storage.directory, workload))
        let clock = ContinuousClock()
        var lines = [try child.wait(for: .opened)]
        let start = clock.now
        while lines.count <= count, let line = try child.next() { lines.append(line) }
        let end = clock.now
        let moment = end + (end - start) / count * delay
        while clock.now < moment {}
        lines += try child.killNow()
        try expectEqual(lines[0].number, left, "index at which the child opened what was left")
        let last = lines.last { $0.word == .applied }?.number ?? left
        let durable = lines.filter { $0.word == .synced || $0.word == .durable }.map(\.number).max() ?? 0

        let engine = try storage.open()
        let found = try workload.check(engine)
        try expect(found >= durable, "index \(found) is left; \(durable) was said to be durable")
        // The batch that was under way may be there as well.
        try expect(found <= last + 1, "index \(found) is left; only \(last) was acknowledged")
        try engine.close()
        left = found
    }
}
