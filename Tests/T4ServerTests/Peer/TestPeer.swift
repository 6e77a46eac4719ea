import RPC
import Synchronization
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core
@testable import T4Server

/// What a node hears from the others, for tests that wait for it.
final class PeerRecorder: PeerDelegate {
    struct Heard: Sendable {
        var messages: [ReplicaMessage] = []
        var entries: [LogEntry] = []
        var lost: [String] = []
        var questions: [PeerQuestion] = []
        /// Not done yet; only where they are kept.
        var kept: [PeerDelivery] = []

        /// The numbers that `ReplicaMessage.numbered` has put in.
        var numbers: [UInt64] {
            messages.compactMap { message in
                if case .append(let append) = message.body { append.committed } else { nil }
            }
        }
    }

    private struct State {
        var heard = Heard()
        var keeps: Bool
        var waiters: [(ready: @Sendable (Heard) -> Bool, continuation: CheckedContinuation<Heard, Never>)] = []
    }

    private let state: Mutex<State>
    private let answer: (@Sendable (PeerQuestion) -> Void)?

    /// - Parameters:
    ///   - keeps: Messages are not done before `release`.
    ///   - answer: Nil: questions are kept.
    init(keeps: Bool = false, answer: (@Sendable (PeerQuestion) -> Void)? = nil) {
        state = Mutex(State(keeps: keeps))
        self.answer = answer
    }

    private func change(_ body: (inout State) -> Void) {
        let (heard, ready) = state.withLock { state -> (Heard, [CheckedContinuation<Heard, Never>]) in
            body(&state)
            let heard = state.heard
            let ready = state.waiters.filter { $0.ready(heard) }.map(\.continuation)
            state.waiters.removeAll { $0.ready(heard) }
            return (heard, ready)
        }
        for continuation in ready { continuation.resume(returning: heard) }
    }

    func received(_ delivery: PeerDelivery) {
        change { state in
            state.heard.messages.append(delivery.message)
            state.heard.entries += delivery.entries
            if state.keeps { state.heard.kept.append(delivery) }
        }
    }

    func disconnected(_ instance: String) { change { $0.heard.lost.append(instance) } }

    func asked(_ question: PeerQuestion) {
        if let answer { return answer(question) }
        change { $0.heard.questions.append(question) }
    }

    /// Lets go of what is kept, and keeps nothing more.
    func release() {
        let kept = state.withLock { state in
            defer { state.heard.kept = [] }
            state.keeps = false
            return state.heard.kept
        }
        for delivery in kept { delivery.done() }
    }

    /// Lets go of the questions.
    func forgetQuestions() { change { $0.heard.questions = [] } }

    var heard: Heard { state.withLock { $0.heard } }

    /// What was heard, once it is enough.
    @discardableResult
    func wait(_ ready: @escaping @Sendable (Heard) -> Bool) async -> Heard {
        await withCheckedContinuation { continuation in
            let heard = state.withLock { state -> Heard? in
                if ready(state.heard) { return state.heard }
                state.waiters.append((ready, continuation))
                return nil
            }
            if let heard { continuation.resume(returning: heard) }
        }
    }
}

/// A transport on a free port.
struct TestPeer: Sendable {
    static let database = DatabaseID(low: 1, high: 2)

    let transport: PeerTransport
    let recorder: PeerRecorder
    let log: LogLines

    var address: String { transport.address }
    var own: PeerIdentity { transport.hub.own! }

    static func start(
        _ instance: String, recorder: PeerRecorder = PeerRecorder(),
        _ change: (inout PeerConfiguration) -> Void = { _ in }
    ) async throws -> TestPeer {
        var configuration = PeerConfiguration(
            databaseID: database, nodeID: "node-\(instance)", instanceID: instance, listenHost: "127.0.0.1",
            listenPort: 0,
            process: UInt64.random(in: 0...UInt64.max))
        // On a busy machine a thread may not be run for seconds.
        configuration.connectTimeout = .seconds(600)
        configuration.keepalive = .seconds(1200)
        change(&configuration)
        let log = LogLines()
        let transport = try await PeerTransport.start(configuration, delegate: recorder, logger: log.logger)
        return TestPeer(transport: transport, recorder: recorder, log: log)
    }

    /// Connects by dialling, and waits until both know.
    func connect(to other: TestPeer) async {
        let count = other.recorder.heard.messages.count
        transport.greet(other.address, .hello(of: own.instanceID))
        await other.recorder.wait { $0.messages.count > count }
    }
}

/// Runs nodes of these instances and stops them at the end.
func withPeers(
    _ instances: [String], recorders: [String: PeerRecorder] = [:],
    _ change: (String, inout PeerConfiguration) -> Void = { _, _ in },
    _ body: ([TestPeer]) async throws -> Void
) async throws {
    var peers: [TestPeer] = []
    func stop() async { for peer in peers { await peer.transport.stop() } }
    do {
        for instance in instances {
            let recorder = recorders[instance] ?? PeerRecorder()
            peers.append(try await TestPeer.start(instance, recorder: recorder) { change(instance, &$0) })
        }
        try await body(peers)
    } catch {
        await stop()
        throw error
    }
    await stop()
}

/// Waits for a condition that gives no signal.
func eventually(_ what: String, within limit: Duration = .seconds(120), _ condition: () async -> Bool) async {
    let end = ContinuousClock.now + limit
    while await !condition() {
        guard ContinuousClock.now < end else {
            Issue.record("never came true: \(what)")
            return
        }
        await Task.yield()
    }
}

extension ReplicaMessage {
    static func hello(of instance: String) -> ReplicaMessage {
        ReplicaMessage(
            sender: instance, term: 1,
            body: .hello(.init(nodeID: "node-\(instance)", address: "", last: LogPosition(term: 1, index: 1))))
    }

    /// An append with this number.
    static func numbered(
        _ number: Int, from instance: String, _ entries: [LogEntry] = []
    ) -> ReplicaMessage {
        let first = entries.first?.position ?? LogPosition(term: 1, index: 1)
        return ReplicaMessage(
            sender: instance, term: 9,
            body: .append(
                .init(
                    previous: LogPosition(term: first.term, index: first.index - 1), entries: EntryRun.terms(entries),
                    committed: UInt64(number), sentAt: .zero)))
    }
}

extension LogEntry {
    /// Entries of term 3 with bodies of so many bytes.
    static func some(_ sizes: [Int], from first: UInt64 = 7) -> [LogEntry] {
        sizes.enumerated().map { number, size in
            LogEntry(
                position: LogPosition(term: 3, index: first + UInt64(number)), time: 5, revision: Revision(4),
                kind: .mutations,
                body: [UInt8](repeating: UInt8(truncatingIfNeeded: number &+ 1), count: size))
        }
    }
}
