import T4Conformance
import T4Protocols

@testable import T4Core

/// What a simulation does, besides its seed.
struct SimulationPlan {
    var nodes = 3
    var durability = ReplicaConfiguration.Durability.replicated
    /// How long there are faults and clients.
    var duration = Duration.seconds(20)
    /// Mean time between two faults; nil for none.
    var faultInterval: Duration? = .milliseconds(700)
    /// Mean time between two writes of a client.
    var writeInterval = Duration.milliseconds(8)
    /// In thousandths: of messages lost, repeated and late.
    var loss = 10
    /// In thousandths: of requests to the store whose answer is lost, always and at bad times.
    var storeTrouble = 20
    var storeTroubleAtBadTimes = 500
    /// How often a leader uploads at most; nil: as the seed says.
    var uploadTime: Int?
    var hasCheckpoints = true
    var losesDisks = true
    /// Whether every step is told, for a seed that is looked into.
    var tells = false
}

/// A broken promise.
struct SimulationFailure: Error, CustomStringConvertible {
    var description: String
}

/// A whole cluster in one thread: replicas, network, disks, clocks and store, all from one seed.
///
/// Whatever can go wrong does: messages are lost, repeated and late; nodes crash, pause and lose what they had not fsynced, or the
/// whole disk; puts and swaps land after their sender was told nothing. The first broken promise ends it.
final class Simulation {
    let plan: SimulationPlan
    let seed: UInt64
    var random: SeededGenerator
    var now = Duration.zero
    var queue = EventQueue()
    var nodes: [SimulatedNode] = []
    var store = SimulatedStore()
    var history = SimulationHistory()
    var failure: SimulationFailure?
    /// Pairs that cannot reach each other: from, to.
    var cut: Set<[Int]> = []
    /// Nodes that cannot reach the store.
    var cutFromStore: Set<Int> = []
    /// Disks that are lost: what was on them counts as having been durable.
    var lostDisks: [SimulatedDisk] = []
    var isCalm = false
    var isBadTime = false
    var readsBefore = 0
    /// How long a leader lets entries wait before it uploads them, in milliseconds.
    let uploadTime: Int
    private var trace: [String] = []
    private var instances = 0

    init(_ plan: SimulationPlan, seed: UInt64) {
        self.plan = plan
        self.seed = seed
        random = SeededGenerator(seed: seed)
        uploadTime = plan.uploadTime ?? [50, 150, 1_000, 6_000][Int(seed / 7 % 4)]
        for number in 0..<plan.nodes { nodes.append(SimulatedNode(number, self)) }
    }

    // MARK: Chance

    func chance(_ thousandths: Int) -> Bool { Int.random(in: 0..<1000, using: &random) < thousandths }
    func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    func time(_ low: Int, _ high: Int) -> Duration { .microseconds(pick(low * 1000...high * 1000)) }
    func mean(_ interval: Duration) -> Duration { interval * pick(1...2000) / 1000 }
    func newInstance() -> String {
        instances += 1
        return "instance-\(instances)"
    }

    // MARK: Running

    func after(_ delay: Duration, _ work: @escaping () -> Void) { queue.add(at: now + delay, work) }

    func fail(_ text: String) {
        guard failure == nil else { return }
        failure = SimulationFailure(
            description: "seed \(seed), at \(now): \(text)\n" + trace.suffix(4000).joined(separator: "\n"))
    }

    func tell(_ text: @autoclosure () -> String) {
        guard plan.tells else { return }
        trace.append("\(now) \(text())")
    }

    /// Runs everything.
    func run() throws {
        for node in nodes { node.start() }
        if plan.faultInterval != nil { scheduleFault() }
        scheduleClient()
        runUntil(plan.duration)
        calmDown()
        runUntil(plan.duration + .seconds(36))
        checkAgreement()
        if let failure { throw failure }
    }

    func runUntil(_ end: Duration) {
        while failure == nil, let event = queue.next() {
            guard event.time <= end else {
                queue.add(at: event.time, event.work)
                break
            }
            now = max(now, event.time)
            event.work()
        }
        now = max(now, end)
    }

    /// Runs until something is so.
    /// - Returns: How long that took; nil if it did not happen in time.
    func run(atMost limit: Duration, until isSo: (Simulation) -> Bool) -> Duration? {
        let begin = now
        while failure == nil, now < begin + limit {
            if isSo(self) { return now - begin }
            runUntil(now + .milliseconds(5))
        }
        return nil
    }

    /// The one that takes writes: of several, of which all but one do not know yet, that of the highest term.
    var leader: SimulatedNode? {
        nodes.filter { $0.replica?.isServing ?? false }.max { ($0.replica?.term ?? 0) < ($1.replica?.term ?? 0) }
    }

    /// One leads, and everybody is in the in-sync set.
    var isWhole: Bool { leader != nil && Set(store.record?.inSyncSet ?? []) == Set(nodes.map(\.disk.instance)) }

    // MARK: Network

    func deliver(_ message: ReplicaMessage, _ entries: [SimulatedEntry], from sender: SimulatedNode, to number: Int) {
        guard !cut.contains([sender.number, number]), isCalm || !chance(plan.loss) else { return }
        let copies = !isCalm && chance(plan.loss) ? 2 : 1
        for _ in 0..<copies {
            let delay = !isCalm && chance(plan.loss) ? time(1, 3_000) : time(0, 3)
            after(delay) { [self] in nodes[number].receive(message, entries) }
        }
    }

    func number(of instance: String) -> Int? {
        nodes.first { $0.disk.instance == instance }?.number
    }

    // MARK: Store

    /// A request to the store: `apply` happens at one moment, or never. The answer may be lost: nil.
    func request<Answer>(
        _ node: SimulatedNode, _ apply: @escaping () -> Answer, _ reply: @escaping (Answer?) -> Void
    ) {
        let life = node.life
        let answer: (Duration, Answer?) -> Void = { [self] delay, value in
            after(delay) { node.whenRunning(life) { reply(value) } }
        }
        if cutFromStore.contains(node.number) {
            answer(time(50, 500), nil)
            return
        }
        let isTrouble = !isCalm && chance(isBadTime ? plan.storeTroubleAtBadTimes : plan.storeTrouble)
        let landing = isTrouble && chance(500) ? time(100, 8_000) : time(1, 20)
        if isTrouble {
            answer(time(20, 1_000), nil)
            guard chance(700) else { return }
        }
        after(landing) { [self] in
            let value = apply()
            if !isTrouble { answer(time(1, 10), value) }
        }
    }

    // MARK: Clients

    func scheduleClient() {
        after(mean(plan.writeInterval)) { [self] in
            guard !isCalm else { return }
            let node = nodes[pick(0...nodes.count - 1)]
            if chance(600) {
                for node in nodes { node.write(UInt64(pick(1...3))) }
            } else {
                node.read()
            }
            scheduleClient()
        }
    }
}
