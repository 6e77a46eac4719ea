import Foundation
import Testing

/// Goal: t4 shows what etcd 3.5.1 shows, whatever clients do. Method: one random script against both, step by step, on
/// every engine, and every field of every answer and event compared. A failure prints the seed and a short script.
///
/// `T4_TEST_SEED=N` repeats the script of seed N; `T4_TEST_SLOW=1` runs 100,000 steps on each engine, in scripts of
/// 1,000, and `T4_TEST_STEPS=N` makes them N steps long.
struct DifferentialTests {
    static let engines = RandomScripts.engines

    private static let stepsPerScript = TestEnvironment.steps(default: 250, slow: 1000)

    @Test(arguments: engines)
    func randomScriptsShowNoDifference(_ engine: String) async throws {
        try await run(on: engine, "steps") { StepGenerator.script(seed: $0, count: DifferentialTests.stepsPerScript) }
    }

    /// Users, roles, logins, and what each user may do, with authentication on and off.
    @Test(arguments: engines)
    func randomScriptsOfUsersShowNoDifference(_ engine: String) async throws {
        try await run(on: engine, "steps of users") {
            StepGenerator.authScript(seed: $0, count: DifferentialTests.stepsPerScript)
        }
    }

    private func run(on engine: String, _ what: String, script: (UInt64) -> [Step]) async throws {
        guard try await TestEnvironment.engines().contains(engine) else { return }
        let seeds = RandomScripts.seeds(for: engine, stepsPerScript: DifferentialTests.stepsPerScript)
        var report = DifferentialRun.Report()
        for seed in seeds {
            let steps = script(seed)
            let done = try await Slots.servers.use {
                try await DifferentialTests.run(steps, engine: engine, name: "T4_TEST_SEED=\(seed)")
            }
            guard let done else { return }
            report.steps += done.steps
            report.known.formUnion(done.known)
        }
        print(
            "differential: \(report.steps) \(what) on \(engine), seeds \(seeds.map(String.init).joined(separator: " ")), "
                + "known differences met: \(report.known.sorted().joined(separator: ", "))")
    }

    /// Scripts that once showed a difference, and those that show the known ones.
    @Test(arguments: keptScripts)
    func keptScriptsShowNoDifference(_ name: String) async throws {
        let steps = try DifferentialTests.steps(in: DifferentialTests.scripts, name)
        let report = try await Slots.servers.use {
            try await DifferentialTests.run(steps, engine: nil, name: name)
        }
        guard let report else { return }
        let known = name.hasPrefix("known-") ? String(name.dropFirst("known-".count)) : nil
        #expect(report.known == Set([known].compactMap { $0 }), "the known differences that \(name) met")
    }

    /// What other programs ask for, in their words.
    @Test(arguments: everyEngineScripts, engines)
    func scriptsForEveryEngineShowNoDifference(_ name: String, _ engine: String) async throws {
        guard try await TestEnvironment.engines().contains(engine) else { return }
        let steps = try DifferentialTests.steps(in: everyEngine, name)
        let report = try await Slots.servers.use {
            try await DifferentialTests.run(steps, engine: engine, name: name)
        }
        guard let report else { return }
        #expect(report.known.isEmpty, "the known differences that \(name) met")
        #expect(report.steps == steps.count)
    }

    /// An entry that nothing meets would hide what it does not mean.
    @Test func everyKnownDifferenceHasAScript() {
        let met = KnownDifference.all.filter { known in
            switch known.place {
            case .answer, .watch: true
            case .line, .elsewhere: false
            }
        }.map(\.name)
        #expect(Set(keptScripts.filter { $0.hasPrefix("known-") }) == Set(met.map { "known-" + $0 }))
    }

    static let scripts = TestEnvironment.root.appending(path: "Tests/ProcessTests/Differential/Scripts")

    /// The scripts of a folder.
    static func names(in folder: URL) -> [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return files.filter { $0.hasSuffix(".steps") }.map { String($0.dropLast(".steps".count)) }.sorted()
    }

    private static func steps(in folder: URL, _ name: String) throws -> [Step] {
        try Step.script(String(contentsOf: folder.appending(path: name + ".steps"), encoding: .utf8))
    }

    /// - Returns: Nil when there was a difference, which has been recorded.
    private static func run(
        _ steps: [Step], engine: String?, name: String,
    ) async throws -> DifferentialRun.Report? {
        // What shrinks into another difference shows that one, and not the one to find.
        try await RandomScripts.report(steps, on: engine, name: name, isAlike: { $0.verb == $1.verb }) { steps, limit in
            try await DifferentialRun.report(of: steps, engine: engine, within: limit)
        }
    }
}

private let everyEngine = DifferentialTests.scripts.appending(path: "every-engine")

private let keptScripts = DifferentialTests.names(in: DifferentialTests.scripts)
private let everyEngineScripts = DifferentialTests.names(in: everyEngine)
