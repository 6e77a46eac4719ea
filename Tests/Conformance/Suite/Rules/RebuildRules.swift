import Foundation
import T4Protocols

extension EngineRules {
    /// What happens after an engine was given up: its directory is emptied and filled again by the same process.
    static let rebuildRules = [
        EngineRule("an emptied directory takes a rebuild", needs: [.files]) { engine in
            try await engine.withStorage { storage in
                let workload = Workload(seed: 3)
                for round in 1...3 as ClosedRange<UInt64> {
                    let engine = try storage.open()
                    try expectEqual(engine.appliedPosition, .zero, "applied position in an emptied directory")
                    try expectRows(engine.snapshot().rows(), [], "rows in an emptied directory")
                    var rows = ArrayRows(workload.model(at: 10 * round).rows)
                    try engine.bulkLoad(&rows, at: workload.position(10 * round))
                    for index in (10 * round + 1)...(10 * round + 5) { try workload.apply(index, to: engine) }
                    try expectEqual(workload.check(engine), 10 * round + 5, "applied index after the rebuild")
                    try engine.close()
                    try storage.empty()
                }
            }
        },
        EngineRule("damaged files are refused or opened, and either way make room for a rebuild", needs: [.files]) {
            engine in
            let damages: [(name: String, change: (Data) -> Data)] = [
                // What a crash of the system can leave of files that were never synced.
                ("cut to half", { Data($0.prefix($0.count / 2)) }), ("emptied", { _ in Data() }),
                ("of zeros", { Data(count: $0.count) }),
                ("overwritten", { Data((0..<$0.count).map { UInt8(truncatingIfNeeded: $0 &* 131 &+ 7) }) }),
            ]
            for damage in damages {
                try await engine.withStorage { storage in
                    let workload = Workload(seed: 4)
                    var engine = try storage.open()
                    for index in 1...10 as ClosedRange<UInt64> { try workload.apply(index, to: engine) }
                    try engine.close()
                    try storage.write(storage.files().mapValues(damage.change))
                    do {
                        engine = try storage.open()
                        // Nothing is read: an engine that noticed nothing yet promises nothing about its rows.
                        try engine.close()
                    } catch let error as EngineError {
                        try expect(
                            [.corrupted, .ioFailed].contains(error.code),
                            "opening files \(damage.name): expected corrupted or ioFailed, saw \(error.code) (\(error))"
                        )
                    }
                    try storage.empty()
                    engine = try storage.open()
                    var rows = ArrayRows(workload.model(at: 5).rows)
                    try engine.bulkLoad(&rows, at: workload.position(5))
                    for index in 6...12 as ClosedRange<UInt64> { try workload.apply(index, to: engine) }
                    try expectEqual(workload.check(engine), 12, "applied index after files \(damage.name)")
                    try engine.close()
                }
            }
        },
    ]
}
