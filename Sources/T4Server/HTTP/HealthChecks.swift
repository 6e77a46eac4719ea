import RPC
import Synchronization
import T4Core

/// `/health`, and `/livez` and `/readyz` with their parts, as etcd 3.5.11 and later answer them; `/healthz` and
/// `/healthz/leader`, as T4 does.
///
/// What is checked holds for everybody: it needs no user, whatever rights there are.
final class HealthChecks: Sendable {
    private struct Check: Sendable {
        let name: String
        /// Looks at what can be read here once everything that was acknowledged before is visible.
        var isLinearizable = false
        /// Nil when all is well.
        let problem: @Sendable (Node) -> String?
    }

    private static let read = { @Sendable (node: Node) -> String? in
        do throws(DatabaseError) {
            _ = try node.reading { $0.meta.revision }
            return nil
        } catch {
            return EtcdErrors.status(error).message
        }
    }

    private static let noCorruption = { @Sendable (node: Node) -> String? in
        do throws(DatabaseError) {
            return try node.alarms().contains { $0.kind == .corrupt } ? "alarm activated: CORRUPT" : nil
        } catch {
            return EtcdErrors.status(error).message
        }
    }

    private static let readOfLeader = { @Sendable (node: Node) -> String? in
        node.statistics.hasFailed ? EtcdErrors.stopped.message : read(node)
    }

    // Nobody is kept away as a learner: a node that takes no writes answers every read.
    private static let checks = [
        // T4's: whether the node has started, and whether it leads.
        "/healthz": [
            Check(name: "started", problem: { $0.statistics.hasFailed ? EtcdErrors.stopped.message : nil })
        ],
        "/healthz/leader": [
            Check(name: "leader", problem: { $0.leads ? nil : "not leader" })
        ],
        "/livez": [Check(name: "serializable_read", problem: read)],
        "/readyz": [
            Check(name: "data_corruption", problem: noCorruption),
            Check(name: "linearizable_read", isLinearizable: true, problem: readOfLeader),
            Check(name: "non_learner", problem: { _ in nil }),
            Check(name: "serializable_read", problem: read),
        ],
    ]

    private let node: Node
    private let successes = Atomic<Int>(0)
    private let failures = Atomic<Int>(0)

    init(_ node: Node) { self.node = node }

    /// Answers to `/health` since the start, good and bad.
    var counts: (successes: Int, failures: Int) {
        (successes.load(ordering: .relaxed), failures.load(ordering: .relaxed))
    }

    // MARK: /health

    func answerHealth(_ exchange: HTTPExchange) {
        let query = QueryString(exchange.query)
        let excluded = Set(query.values("exclude"))
        let isSerializable = query.values("serializable").first == "true"
        if let reason = problem(excluding: excluded, isSerializable: isSerializable) {
            return answerHealth(exchange, reason)
        }
        if isSerializable { return answerHealth(exchange, nil) }
        exchange.after(whenCurrent) { exchange, problem in
            self.answerHealth(exchange, problem.map { "RANGE ERROR:" + $0 })
        }
    }

    /// Tells once everything that was acknowledged before is visible here, or why not.
    private func whenCurrent(_ completion: @escaping @Sendable (String?) -> Void) {
        node.ask(.index) { result in
            if case .failure(let error) = result {
                completion(EtcdErrors.status(error).message)
            } else {
                completion(nil)
            }
        }
    }

    private func answerHealth(_ exchange: HTTPExchange, _ reason: String?) {
        let isWell = reason == nil
        if isWell {
            successes.add(1, ordering: .relaxed)
        } else {
            failures.add(1, ordering: .relaxed)
        }
        var text = Array(#"{"health":"\#(isWell)","reason":"#.utf8)
        JSONWriter.append(string: reason ?? "", to: &text)
        text.append(UInt8(ascii: "}"))
        guard isWell else { return exchange.refuse(503, String(decoding: text, as: UTF8.self)) }
        exchange.respond(
            GatewayAnswers.head(200, ("Content-Type", "text/plain; charset=utf-8")), body: text)
    }

    private func problem(excluding excluded: Set<String>, isSerializable: Bool) -> String? {
        do throws(DatabaseError) {
            for alarm in try node.alarms() where !excluded.contains(alarm.kind.name) {
                return "ALARM " + alarm.kind.name
            }
        } catch {
            return "RANGE ERROR:" + EtcdErrors.status(error).message
        }
        if !isSerializable, node.statistics.hasFailed || node.leaderID == 0 { return "RAFT NO LEADER" }
        return Self.read(node).map { "RANGE ERROR:" + $0 }
    }

    // MARK: /livez and /readyz

    /// Whether it is one of these paths, or a part of one.
    func answers(_ path: String) -> Bool { !checks(path).isEmpty }

    func answerCheck(_ exchange: HTTPExchange) {
        let query = QueryString(exchange.query)
        // The path of one check excludes nothing.
        let excluded = Self.checks[exchange.path] == nil ? [] : Set(query.values("exclude"))
        let checks = checks(exchange.path).filter { !excluded.contains($0.name) }
        guard checks.contains(where: \.isLinearizable) else { return answer(exchange, checks, nil, query) }
        exchange.after(whenCurrent) { exchange, problem in self.answer(exchange, checks, problem, query) }
    }

    /// - Parameter lag: Why what is visible may be old.
    private func answer(_ exchange: HTTPExchange, _ checks: [Check], _ lag: String?, _ query: QueryString) {
        var report = ""
        var isWell = true
        for check in checks {
            if let problem = check.isLinearizable ? lag ?? check.problem(node) : check.problem(node) {
                isWell = false
                report += "[-]\(check.name) failed: \(problem)\n"
            } else {
                report += "[+]\(check.name) ok\n"
            }
        }
        guard isWell else { return exchange.refuse(503, report) }
        if query.has("verbose") { return exchange.refuse(200, report + "ok") }
        exchange.refuse(200, "ok")
    }

    private func checks(_ path: String) -> [Check] {
        if let checks = Self.checks[path] { return checks }
        return Self.checks.flatMap { root, checks in checks.filter { path == "\(root)/\($0.name)" } }
    }
}

extension Alarm.Kind {
    /// As the protocol calls it.
    var name: String {
        switch self {
        case .noSpace: "NOSPACE"
        case .corrupt: "CORRUPT"
        }
    }
}

/// The part of an address behind the question mark.
struct QueryString {
    private let items: [(name: String, value: String)]

    init(_ text: String) {
        items = text.split(separator: "&").map { item in
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (Self.decode(parts[0]), parts.count > 1 ? Self.decode(parts[1]) : "")
        }
    }

    func has(_ name: String) -> Bool { items.contains { $0.name == name } }

    /// The values of a name that are not empty.
    func values(_ name: String) -> [String] { items.filter { $0.name == name && !$0.value.isEmpty }.map(\.value) }

    private static func decode(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Substring(text).utf8
        while let byte = rest.popFirst() {
            let digits = rest.prefix(2)
            if byte == UInt8(ascii: "%"), digits.count == 2,
                let number = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
            {
                bytes.append(number)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte == UInt8(ascii: "+") ? 0x20 : byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
