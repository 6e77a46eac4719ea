import Foundation
import Testing

/// What all tests by random scripts have in common.
enum RandomScripts {
    static let engines = ["lmdb", "rocksdb", "leveldb", "memory"]

    private static let isSeedGiven = ProcessInfo.processInfo.environment["T4_TEST_SEED"] != nil

    /// The scripts of one engine: one that is always the same and a new one each time, or as many as there is time for.
    /// - Parameters:
    ///   - total: How many steps there is time for.
    ///   - hasFresh: Without time, a new one is among them.
    static func seeds(
        for engine: String, stepsPerScript: Int, total: Int = 100_000, hasFresh: Bool = true
    ) -> [UInt64] {
        if isSeedGiven { return [TestEnvironment.seed] }
        let place = UInt64(engines.firstIndex(of: engine) ?? 0)
        let fresh = TestEnvironment.seed % 1_000_000_000 + place * 1_000_000_000
        guard TestEnvironment.isSlowAllowed else { return hasFresh ? [place, fresh] : [place] }
        return (0..<UInt64(max(1, total / stepsPerScript))).map { fresh + $0 }
    }

    /// Runs a script.
    /// - Parameters:
    ///   - isAlike: Whether a shorter script that fails at the second step shows what failed at the first one.
    ///   - run: Runs one; throws `Difference`.
    /// - Returns: Nil when there was a difference, which has been recorded, with a short script that shows it.
    static func report<Step: Shrinkable & CustomStringConvertible, Report>(
        _ steps: [Step], on engine: String?, name: String, isAlike: (Step, Step) -> Bool,
        run: ([Step], _ limit: Duration) async throws -> Report
    ) async throws -> Report? {
        do {
            return try await run(steps, .seconds(60))
        } catch let difference as Difference {
            var found = difference
            let failing = Array(steps[..<min(steps.count, difference.index + 1)])
            let short = try await Shrinker.shrunk(failing, tries: 80) { candidate in
                do {
                    _ = try await run(candidate, .seconds(10))
                    return false
                } catch let shorter as Difference {
                    if difference.index < steps.count {
                        guard shorter.index < candidate.count,
                            isAlike(steps[difference.index], candidate[shorter.index])
                        else { return false }
                    }
                    found = shorter
                    return true
                } catch is TextSyntaxError {
                    return false
                }
            }
            Issue.record(
                """
                \(name) on \(engine ?? "the default engine"), step \(difference.index): \(difference)
                ---- the same in short ----
                \(short.map(\.description).joined(separator: "\n"))
                ---- what it shows ----
                \(found)
                """)
            return nil
        }
    }
}
