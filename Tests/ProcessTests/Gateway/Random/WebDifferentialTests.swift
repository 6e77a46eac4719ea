import Foundation
import Testing

/// Goal: over HTTP t4 shows what etcd 3.5.1 shows, whatever clients send. Method: one random script of requests against
/// both, connection by connection, and every answer compared: status line, headers, where the body ends, the body. A
/// failure prints the seed and a short script, whose lines can be kept in `Requests`.
///
/// `T4_TEST_SEED=N` repeats the script of seed N; `T4_TEST_SLOW=1` runs 20,000 steps on each engine, in scripts of 500, and
/// `T4_TEST_STEPS=N` makes them N steps long. A step is a connection, with a request or some.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "compares t4's engines"))
struct WebDifferentialTests {
    @Test(arguments: RandomScripts.engines)
    func randomScriptsOfRequestsOverHTTPShowNoDifference(_ engine: String) async throws {
        guard try await TestEnvironment.engines().contains(engine) else { return }
        // The gateway is the same on every engine.
        let share = engine == RandomScripts.engines[0] ? 1 : 4
        let stepsPerScript = TestEnvironment.steps(default: 400 / share, slow: 500)
        // About one new request in some thousands is still one that nobody has looked at: they are for when there is time.
        let seeds = RandomScripts.seeds(
            for: engine, stepsPerScript: stepsPerScript, total: 20_000 / share, hasFresh: false)
        var requests = 0
        for seed in seeds {
            let steps = WebGenerator.script(seed: seed, count: stepsPerScript)
            let done = try await Slots.servers.use {
                try await RandomScripts.report(steps, on: engine, name: "T4_TEST_SEED=\(seed)", isAlike: Self.isAlike) {
                    steps, _ in try await WebRun.requests(of: steps, engine: engine)
                }
            }
            guard let done else { return }
            requests += done
        }
        print(
            "differential: \(requests) requests over HTTP on \(engine), seeds "
                + seeds.map(String.init).joined(separator: " "))
    }

    /// Of the same paths.
    private static func isAlike(_ one: RequestTable.Step, _ other: RequestTable.Step) -> Bool {
        guard case .raw(let one, _) = one, case .raw(let other, _) = other else { return true }
        func path(_ step: WebStep) -> Substring? { step.requests.last?.prefix { $0 != "\r\n" } }
        return path(one) == path(other)
    }
}

/// Runs steps against both servers, one after the other.
enum WebRun {
    /// - Returns: How many requests were answered.
    /// - Throws: `Difference`.
    static func requests(of steps: [RequestTable.Step], engine: String) async throws -> Int {
        try await DifferentialRun.withServers(engine: engine, hasGateway: true) { etcd, t4 in
            try await perform(steps, etcd, t4)
        }
    }

    private static func perform(
        _ steps: [RequestTable.Step], _ etcd: ServerUnderTest, _ t4: ServerUnderTest
    ) async throws -> Int {
        var left = try await WebSide(etcd)
        var right = try await WebSide(t4)
        var count = 0
        for (index, step) in steps.enumerated() {
            let wanted: [ShownAnswer]
            do {
                wanted = try await left.perform(step)
            } catch {
                throw Difference(index: index, description: "\(step)\netcd: \(error)")
            }
            let got = try await right.perform(step)
            // etcd's raft drops a change of members that comes before the one before is applied, and nobody tells whoever waits
            // for it: such a request is never answered, and what comes behind it is not read.
            if wanted.count < got.count, "\(step)".contains("/v3/cluster/member/") { return count }
            guard wanted == got else {
                let columns = SideBySide.columns(text(wanted), text(got))
                throw Difference(index: index, description: "\(step)\n\(columns)")
            }
            count += wanted.count
        }
        return count
    }

    private static func text(_ answers: [ShownAnswer]) -> String {
        answers.map(\.description).joined(separator: "\n")
    }
}

extension RequestTable.Step: Shrinkable {
    var simpler: [RequestTable.Step] {
        guard case .raw(let step, let line) = self else { return [] }
        var steps: [WebStep] = []
        for index in step.requests.indices.dropLast() {
            var fewer = step
            fewer.requests.remove(at: index)
            steps.append(fewer)
        }
        for index in step.requests.indices {
            let parts = step.requests[index].split(
                separator: "\r\n\r\n", maxSplits: 1, omittingEmptySubsequences: false)
            let head = parts[0].split(separator: "\r\n")
            for place in head.indices.dropFirst()
            where !["Host", "Content-Length", "Transfer", "Connection"].contains(where: { head[place].hasPrefix($0) }) {
                var less = step
                let left = head[..<place] + head[(place + 1)...]
                less.requests[index] = left.joined(separator: "\r\n") + "\r\n\r\n" + (parts.last ?? "")
                steps.append(less)
            }
        }
        return steps.map { .raw($0, line: line) }
    }
}
