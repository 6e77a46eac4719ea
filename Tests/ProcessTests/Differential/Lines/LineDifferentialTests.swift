import Foundation
import Testing

/// Goal: locks and elections show what etcd 3.5.1 shows, whatever their clients do. Method: one random script of several
/// sessions against both, step by step: calls wait behind each other, are cancelled, lose their keys and leases, and all that
/// each of them gets is compared. A failure prints the seed and a short script, which can be kept in `Scripts/lines`.
///
/// `T4_TEST_SEED` and `T4_TEST_STEPS` as in `DifferentialTests`; `T4_TEST_SLOW=1` runs 5,000 steps.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "compares t4's engines"))
struct LineDifferentialTests {
    @Test func randomScriptsOfLinesShowNoDifference() async throws {
        let stepsPerScript = TestEnvironment.steps(default: 150, slow: 250)
        let engine = RandomScripts.engines[0]
        let seeds = RandomScripts.seeds(for: engine, stepsPerScript: stepsPerScript, total: 5000)
        var report = DifferentialRun.Report()
        for seed in seeds {
            let steps = StepGenerator.lineScript(seed: seed, count: stepsPerScript)
            let done = try await run(steps, engine: engine, name: "T4_TEST_SEED=\(seed)")
            guard let done else { return }
            report.steps += done.steps
            report.known.formUnion(done.known)
        }
        print(
            "differential: \(report.steps) steps of lines on \(engine), seeds "
                + seeds.map(String.init).joined(separator: " ")
                + ", known differences met: \(report.known.sorted().joined(separator: ", "))")
    }

    /// Scripts that once showed a difference, and those that show the known ones.
    @Test(arguments: names)
    func keptScriptsOfLinesShowNoDifference(_ name: String) async throws {
        let text = try String(contentsOf: Self.folder.appending(path: name + ".steps"), encoding: .utf8)
        guard let report = try await run(try Step.script(text), engine: nil, name: name) else { return }
        let known = name.hasPrefix("known-") ? String(name.dropFirst("known-".count)) : nil
        #expect(report.known == Set([known].compactMap { $0 }), "the known differences that \(name) met")
    }

    @Test func everyKnownDifferenceOfLinesHasAScript() {
        let met = KnownDifference.all.filter { if case .line = $0.place { true } else { false } }.map(\.name)
        #expect(Set(Self.names.filter { $0.hasPrefix("known-") }) == Set(met.map { "known-" + $0 }))
    }

    private static let folder = DifferentialTests.scripts.appending(path: "lines")
    static let names = DifferentialTests.names(in: folder)

    private func run(_ steps: [Step], engine: String?, name: String) async throws -> DifferentialRun.Report? {
        try await Slots.servers.use {
            try await RandomScripts.report(steps, on: engine, name: name, isAlike: { $0.verb == $1.verb }) {
                steps, limit in
                try await LineRun.report(of: steps, engine: engine, within: limit)
            }
        }
    }
}
