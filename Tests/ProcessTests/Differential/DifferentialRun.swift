import EtcdAPI
import Foundation
import RPC
import SwiftProtobuf

/// Where the two servers did not show the same.
struct Difference: Error, CustomStringConvertible {
    /// The step; the number of steps where it showed at the end.
    let index: Int
    let description: String
}

/// A script that runs against etcd and t4 side by side, one step after the other.
protocol SideBySideRun {
    var etcd: Side { get }
    var t4: Side { get }
    var report: DifferentialRun.Report { get set }
    /// - Returns: False when nothing behind this step can be compared.
    /// - Throws: `Mismatch` or `TimedOut` for a difference.
    mutating func perform(_ step: Step) async throws -> Bool
    /// Compares what shows only behind the last step.
    /// - Throws: As `perform`.
    mutating func finish() async throws
}

extension SideBySideRun {
    /// Runs the steps and closes the clients.
    /// - Throws: `Difference`.
    mutating func perform(_ steps: [Step]) async throws -> DifferentialRun.Report {
        var goesOn = true
        for (index, step) in steps.enumerated() where goesOn {
            do {
                goesOn = try await perform(step)
            } catch let error where error is Mismatch || error is TimedOut {
                throw Difference(index: index, description: "\(step)\n      \(error)")
            }
            if goesOn { report.steps += 1 }
        }
        if goesOn {
            do {
                try await finish()
            } catch let error where error is Mismatch || error is TimedOut {
                throw Difference(index: steps.count, description: "at the end: \(error)")
            }
        }
        await etcd.client.close()
        await t4.client.close()
        return report
    }
}

/// Runs a script against etcd and t4 side by side, and compares everything they show.
struct DifferentialRun: SideBySideRun {
    /// What came of a script that showed no difference.
    struct Report: Sendable {
        var steps = 0
        /// The names of the known differences that were met.
        var known: Set<String> = []
    }

    var etcd: Side
    var t4: Side
    /// How long one thing that must come may take.
    let limit: Duration
    var model = WatchModel()
    /// The newest revision that both have named.
    var revision: Int64 = 1
    var compacted: Int64 = 0
    var report = Report()
    private var isAuthOn = false
    /// When leases could run out, by the step's own names for them.
    private var expiries: [String: ContinuousClock.Instant] = [:]

    private init(etcd: Side, t4: Side, limit: Duration) {
        self.etcd = etcd
        self.t4 = t4
        self.limit = limit
    }

    /// Runs `steps` on fresh servers.
    /// - Throws: `Difference`; anything else is a fault of the script or of the test.
    static func report(
        of steps: [Step], engine: String?, within limit: Duration = .seconds(60),
    ) async throws -> Report {
        try await withServers(engine: engine) { etcd, t4 in
            var run = DifferentialRun(etcd: try await Side(etcd), t4: try await Side(t4), limit: limit)
            return try await run.perform(steps)
        }
    }

    /// Runs `body` with fresh servers.
    /// - Parameter hasGateway: Whether etcd's works.
    static func withServers<Result: Sendable>(
        engine: String?, hasGateway: Bool = false,
        _ body: @Sendable (_ etcd: ServerUnderTest, _ t4: ServerUnderTest) async throws -> Result
    ) async throws -> Result {
        // What passwords cost is not compared.
        let options = ["--bcrypt-cost", "4"]
        return try await withTemporaryDirectory { folder in
            let (place, kind) = (folder.appending(path: "etcd"), ServerUnderTest.Kind.etcd)
            let etcd =
                try await hasGateway
                ? ServerUnderTest.startWithGateway(kind, dataDirectory: place, options: options)
                : ServerUnderTest.start(kind, dataDirectory: place, options: options)
            let t4: ServerUnderTest
            do {
                t4 = try await ServerUnderTest.start(
                    .t4(engine: engine), dataDirectory: folder.appending(path: "t4"), options: options)
            } catch {
                await etcd.crash()
                throw error
            }
            let outcome: Swift.Result<Result, any Error>
            do {
                outcome = .success(try await body(etcd, t4))
            } catch {
                outcome = .failure(error)
            }
            await etcd.crash()
            await t4.crash()
            return try outcome.get()
        }
    }

    mutating func perform(_ step: Step) async throws -> Bool {
        switch step.verb {
        case .watch: try await watch(step)
        case .watchEnd: halfClose(step.stream ?? 0)
        default: return try await call(step)
        }
        return true
    }

    /// - Returns: As `perform`.
    private mutating func call(_ step: Step) async throws -> Bool {
        let began = ContinuousClock.now
        let (left, right) = try await answers(to: step)
        // A lease that may have run out at one server and not at the other ends what can be compared.
        let now = ContinuousClock.now
        if expiries.values.contains(where: { $0 <= now }) { return false }
        try etcd.learn(step, left)
        try t4.learn(step, right)
        if let known = try AnswerComparison.check(step, left, right, etcd: &etcd, t4: &t4) {
            report.known.insert(known.name)
            if known.parts { return false }
        }
        guard case .message(let bytes) = left else { return true }
        try note(step, bytes, since: began)
        let shown = try etcd.cut(bytes).revision ?? 0
        if shown > revision {
            revision = shown
            try await settle()
        }
        return true
    }

    private func answers(to step: Step) async throws -> (etcd: Answer, t4: Answer) {
        let (etcdClient, t4Client, verb) = (etcd.client, t4.client, step.verb)
        let wanted = try etcd.message(of: step, revision: revision, compacted: compacted)
        let got = try t4.message(of: step, revision: revision, compacted: compacted)
        // Without authentication etcd 3.5.1 takes no token (`KnownDifference`).
        let user = isAuthOn ? step.user : nil
        let (wantedToken, gotToken) = (etcd.metadata(of: user), t4.metadata(of: user))
        async let left = Side.call(verb, wanted, on: etcdClient, metadata: wantedToken)
        async let right = Side.call(verb, got, on: t4Client, metadata: gotToken)
        return (try await left, try await right)
    }

    /// Remembers what later steps depend on.
    private mutating func note(_ step: Step, _ answer: [UInt8], since began: ContinuousClock.Instant) throws {
        let lease = step.fields["ID"]?.scalar ?? ""
        switch step.verb {
        case .compact:
            let message = try etcd.message(of: step, revision: revision, compacted: compacted)
            compacted = try EtcdCompactionRequest(serializedBytes: message).revision
        case .leaseGrant:
            let ttl = try EtcdLeaseGrantResponse(serializedBytes: answer).ttl
            // Longer ones outlive every script.
            if ttl < 600 { expiries[lease] = began + .seconds(ttl) }
        case .leaseRevoke: expiries[lease] = nil
        case .authEnable: isAuthOn = true
        case .authDisable: isAuthOn = false
        default: break
        }
    }
}
