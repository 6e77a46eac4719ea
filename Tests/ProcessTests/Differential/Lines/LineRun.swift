import Foundation
import RPC

/// Runs a script of locks and elections against etcd and t4 side by side, one step after the other, and compares what each
/// call gets.
struct LineRun: SideBySideRun {
    /// A call that stays open, at both servers.
    private struct OpenCall {
        let verb: Verb
        let etcd: (tape: MessageTape, call: ClientCall)
        let t4: (tape: MessageTape, call: ClientCall)
    }

    private(set) var etcd: Side
    private(set) var t4: Side
    private let web: (etcd: WebClient, t4: WebClient)
    private let limit: Duration
    private var model = LineModel()
    private var calls: [Int: OpenCall] = [:]
    var report = DifferentialRun.Report()

    /// Runs `steps` on fresh servers.
    /// - Throws: `Difference`; anything else is a fault of the script or of the test.
    static func report(
        of steps: [Step], engine: String?, within limit: Duration = .seconds(60)
    ) async throws -> DifferentialRun.Report {
        try await DifferentialRun.withServers(engine: engine) { etcd, t4 in
            var run = LineRun(
                etcd: try await Side(etcd), t4: try await Side(t4),
                web: (WebClient(port: etcd.port), WebClient(port: t4.port)), limit: limit)
            return try await run.perform(steps)
        }
    }

    /// Each step is compared with what it set off.
    func finish() {}

    mutating func perform(_ step: Step) async throws -> Bool {
        guard let number = step.stream else {
            try await call(step)
            try await settle()
            return true
        }
        if step.verb == .cancel { return try await cancel(number) }
        // Its number is another call's from here on, which goes on.
        guard calls[number] == nil else { return true }
        let message = try VerbCodec.of(step.verb).encode(try fields(of: step).text)
        calls[number] = OpenCall(
            verb: step.verb, etcd: Self.open(step.verb, message, on: etcd.client),
            t4: Self.open(step.verb, message, on: t4.client))
        let name = Self.text(step.fields["name"])
        let (lease, value) = (Self.number(step.fields["lease"]), Self.text(step.fields["value"]))
        switch step.verb {
        case .lock: model.lock(number, name, lease: lease)
        case .campaign: model.campaign(number, name, lease: lease, value: value)
        default: model.observe(number, name)
        }
        try await settle()
        // Only then it is sure that the next step comes behind it.
        if calls[number] != nil { try await watchesAreThere() }
        return true
    }

    private static func open(
        _ verb: Verb, _ message: [UInt8], on client: RPCClient
    ) -> (tape: MessageTape, call: ClientCall) {
        let tape = MessageTape()
        let call = client.stream(client.method(VerbCodec.of(verb).path)) { _ in tape }
        call.send(message)
        call.halfClose()
        return (tape, call)
    }

    // MARK: Steps

    private mutating func call(_ step: Step) async throws {
        let message = try VerbCodec.of(step.verb).encode(try fields(of: step).text)
        let (etcdClient, t4Client, verb) = (etcd.client, t4.client, step.verb)
        async let left = Side.call(verb, message, on: etcdClient)
        async let right = Side.call(verb, message, on: t4Client)
        if let known = try AnswerComparison.check(step, try await left, try await right, etcd: &etcd, t4: &t4) {
            report.known.insert(known.name)
        }
        let leader = step.fields["leader"]?.fields ?? []
        let (key, id) = (Self.text(step.fields["key"]), Self.number(step.fields["ID"]))
        switch step.verb {
        case .leaseGrant: model.grant(id)
        case .leaseRevoke: model.revoke(id)
        case .unlock: model.delete { name, _ in name == key }
        case .deleteRange:
            let end = step.fields["range_end"].map(Self.text)
            model.delete { name, _ in end.map { name >= key && name < $0 } ?? (name == key) }
        case .proclaim:
            model.proclaim(
                Self.text(leader["key"]), created: created(leader), value: Self.text(step.fields["value"]),
                lease: Self.number(leader["lease"]))
        case .resign: model.resign(Self.text(leader["key"]), created: created(leader))
        default: break
        }
    }

    /// - Returns: As `perform`.
    private mutating func cancel(_ number: Int) async throws -> Bool {
        guard let call = calls.removeValue(forKey: number) else { return true }
        // Who gives up before the server waits may leave a key behind, or not.
        try await watchesAreThere()
        call.etcd.call.cancel()
        call.t4.call.cancel()
        let rows = model.rows
        if let waiter = model.cancel(number), call.verb == .lock, let row = rows[waiter.key],
            row.created != waiter.created
        {
            report.known.insert(KnownDifference.lostLock.name)
            return false
        }
        try await settle()
        return true
    }

    /// Waits until both servers watch for each call that waits, and nothing else but the watch of everything.
    private func watchesAreThere() async throws {
        for web in [web.etcd, web.t4] {
            let deadline = ContinuousClock.now + limit
            while true {
                let text = try await web.answer("GET", "/metrics").body
                let count = text.firstMatch(of: /\netcd_debugging_mvcc_watcher_total (?<count>[0-9]+)/)?.output.count
                if count.flatMap({ Int($0) }) == model.watchCount + 1 { break }
                guard ContinuousClock.now < deadline else {
                    throw TimedOut(description: "\(count ?? "no") watches for \(model.watchCount) calls")
                }
                await Task.yield()
            }
        }
    }

    // MARK: What is due

    private mutating func settle() async throws {
        let events = model.events
        for side in [etcd, t4] {
            try await side.log.tape.wait(for: "change \(events) of \(side.name)", within: limit) {
                $0.eventCount(0) >= events
            }
            let count = side.log.tape.content.value.eventCount(0)
            guard count == events else { throw Mismatch("\(side.name): \(count) changes, not \(events)") }
        }
        for (number, call) in calls.sorted(by: { $0.key < $1.key }) {
            guard let due = model.due[number] else { continue }
            let wanted = try await shown(call, call.etcd.tape, number, due, &etcd)
            let got = try await shown(call, call.t4.tape, number, due, &t4)
            if due.isOver { calls[number] = nil }
            guard wanted != got else { continue }
            let lost =
                "\(RPCStatus(.unknown, call.verb == .lock ? "mutex: session is expired" : "election: not leader"))"
            guard due.isLost, got == [lost], wanted.count == 2 else {
                throw Mismatch(etcd: "call \(number): \(wanted)", t4: "call \(number): \(got)")
            }
            report.known.insert((call.verb == .lock ? KnownDifference.lostLock : .lostCampaign).name)
        }
    }

    /// The messages of a call and its end.
    private func shown(
        _ call: OpenCall, _ tape: MessageTape, _ number: Int, _ due: LineModel.Due, _ side: inout Side
    ) async throws -> [String] {
        let what = "\(due.isOver ? "the end" : "message \(due.messages)") of call \(number) at \(side.name)"
        let content = try await tape.content.wait(for: what, within: limit) { content in
            content.end != nil || !due.isOver && content.messages.count >= due.messages ? content : nil
        }
        guard due.isOver || content.end == nil && content.messages.count == due.messages else {
            throw Mismatch("\(side.name): call \(number): \(content), but \(due.messages) messages are due")
        }
        var texts: [String] = []
        for message in content.messages {
            let revision = try side.cut(message).revision
            var fields = try [TextField](text: VerbCodec.of(call.verb).text(message))
            fields.removeAll { $0.name == "header" }
            texts.append("revision \(revision ?? 0) \(fields.text)")
        }
        return texts + (content.end.map { ["\($0)"] } ?? [])
    }

    // MARK: Fields

    private func created(_ leader: [TextField]) -> Int64 {
        guard leader["rev"]?.scalar == "$created" else { return Self.number(leader["rev"]) }
        return model.rows[Self.text(leader["key"])]?.created ?? 1
    }

    /// - Throws: When the server would choose a lease, whose id is in keys.
    private func fields(of step: Step) throws -> [TextField] {
        if [.lock, .campaign, .proclaim].contains(step.verb), !"\(step.fields)".contains("lease") {
            throw TextSyntaxError(description: "'\(step)' has no lease")
        }
        let created = created(step.fields["leader"]?.fields ?? [])
        return step.fields.compactMap { field in
            field.mapped { _, scalar in scalar == "$created" ? "\(created)" : scalar }
        }
    }

    private static func text(_ field: TextField?) -> String { String(field?.scalar?.dropFirst().dropLast() ?? "") }

    private static func number(_ field: TextField?) -> Int64 { field?.scalar.flatMap { Int64($0) } ?? 0 }
}
