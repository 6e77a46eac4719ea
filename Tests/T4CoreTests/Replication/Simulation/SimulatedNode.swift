import T4Protocols

@testable import T4Core

/// A node: a replica, and what carries its actions out.
final class SimulatedNode {
    let number: Int
    unowned let world: Simulation
    var disk: SimulatedDisk
    var replica: Replica?
    /// Rises with every start and every crash: what a former life had under way does not reach it.
    var life = 0
    var isPaused = false
    var held: [() -> Void] = []
    /// How fast its clock runs, in thousandths, and what it showed at the beginning.
    let rate: Int
    let offset: Duration
    var tickAt: Duration?
    private var checks = 0
    var slowDisk = false
    /// Whether it starts again after it ended in good order.
    var restarts = true
    /// Entries of the message that is being handled, and of the chain as last read.
    var received: [SimulatedEntry] = []
    var chains: [UInt64: SimulatedStore.Chain] = [:]
    var chain: SimulatedStore.Chain? { chains.max { $0.key < $1.key }?.value }
    /// Writes of clients that wait, by index; reads that wait, with the index they have to see.
    var writes: [UInt64: SimulatedEntry] = [:]
    var reads: [UInt64: (required: UInt64, asker: Int)] = [:]
    var readCount: UInt64 = 0
    var proposed: UInt64 = 0
    var upload: SimulatedUpload?

    init(_ number: Int, _ world: Simulation) {
        self.number = number
        self.world = world
        disk = SimulatedDisk(instance: world.newInstance())
        rate = world.pick(960...1040)
        offset = .seconds(world.pick(0...1000))
    }

    var clock: Duration { offset + world.now * rate / 1000 }
    var isUp: Bool { replica != nil }
    var address: String { "node-\(number)" }

    /// Runs something in this life of the node, once it is not paused.
    func whenRunning(_ life: Int, _ work: @escaping () -> Void) {
        guard life == self.life else { return }
        if isPaused {
            held.append { [self] in if life == self.life { work() } }
        } else {
            work()
        }
    }

    // MARK: Life

    /// Starts: the log is there, the chain is read, then the record.
    func start() {
        life += 1
        isPaused = false
        held = []
        tickAt = nil
        chains = [:]
        let life = life
        world.request(self, { [world] in world.store.chain }) { [self] chain in
            guard let chain else { return retryStart(life) }
            world.request(self, { [world] in world.store.record }) { [self] record in
                guard let record else { return retryStart(life) }
                begin(chain, record)
            }
        }
    }

    private func retryStart(_ life: Int) {
        world.after(world.time(50, 200)) { [self] in if life == self.life { start() } }
    }

    private func begin(_ chain: SimulatedStore.Chain, _ record: LeaderRecord?) {
        let view = chain.view
        switch view.adoption(by: disk.termLog, committed: disk.applied) {
        case .nothing: break
        case .append(let index):
            disk.cut(after: index)
            for entry in chain.entries where entry.index > index { disk.append(entry) }
        case .restore:
            disk.restore(chain.head)
            for entry in chain.entries { disk.append(entry) }
        case .conflict:
            return world.fail("node \(number) with \(disk.termLog), applied \(disk.applied), conflicts with \(view)")
        }
        disk.synced = disk.last.index
        let committed = max(disk.applied, chain.last.index)
        apply(through: committed)
        var configuration = ReplicaConfiguration(
            nodeID: "n\(number)", instanceID: disk.instance, address: address, durability: world.plan.durability,
            seed: world.random.next())
        configuration.entriesPerMessage = 4
        configuration.entriesInFlight = 16
        replica = Replica(
            configuration, log: disk.termLog, chain: view, committed: committed, record: record, now: clock)
        world.tell(
            "node \(number) starts: log \(disk.last), committed \(committed), record \(String(describing: record))")
        handle(.tick)
    }

    /// The process dies, and with it what was not fsynced.
    func crash() {
        world.tell("node \(number) crashes")
        life += 1
        replica = nil
        isPaused = false
        held = []
        writes = [:]
        reads = [:]
        upload = nil
        received = []
        for other in world.nodes where other.number != number && world.chance(500) {
            let (instance, life) = (disk.instance, other.life)
            world.after(world.time(0, 20)) { other.whenRunning(life) { other.handle(.disconnected(instance)) } }
        }
        disk.crash(keeping: disk.synced + UInt64(world.pick(0...10)))
    }

    func loseDisk() {
        crash()
        world.tell("node \(number) loses its disk")
        world.lostDisks.append(disk)
        disk = SimulatedDisk(instance: world.newInstance())
    }

    func pause() {
        world.tell("node \(number) pauses")
        isPaused = true
    }

    func resume() {
        guard isPaused else { return }
        world.tell("node \(number) resumes")
        isPaused = false
        let works = held
        held = []
        for work in works { work() }
    }

    // MARK: Events

    func receive(_ message: ReplicaMessage, _ entries: [SimulatedEntry]) {
        whenRunning(life) { [self] in
            received = entries
            handle(.message(message))
        }
    }

    func handle(_ event: ReplicaEvent) {
        guard var replica, world.failure == nil else { return }
        let actions = replica.handle(event, at: clock)
        self.replica = replica
        if world.plan.tells, event != .tick || !actions.isEmpty {
            world.tell("node \(number) \(replica.role) \(replica.term): \(event) -> \(actions)")
        }
        for action in actions { perform(action) }
        checkLog()
        scheduleTick()
    }

    /// Time passes for a replica only where it said so.
    private func scheduleTick() {
        guard let replica, let deadline = replica.nextDeadline else { return }
        guard deadline > clock else { return world.fail("node \(number) has a deadline that is over: \(summary)") }
        guard deadline != tickAt else { return }
        tickAt = deadline
        let life = life
        let delay = (deadline - clock) * 1000 / rate + .microseconds(1) + world.time(0, 2)
        world.after(delay) { [self] in
            whenRunning(life) { [self] in
                guard tickAt == deadline else { return }
                tickAt = nil
                handle(.tick)
            }
        }
    }

    // MARK: Actions

    private func perform(_ action: ReplicaAction) {
        let life = life
        switch action {
        case .send(let instance, let message):
            guard let other = world.number(of: instance) else { return }
            var entries: [SimulatedEntry] = []
            if case .append(let append) = message.body, append.count > 0 {
                entries = disk.entries(from: append.previous.index + 1, through: append.through)
            }
            world.deliver(message, entries, from: self, to: other)
        case .greet(let address, let message):
            guard let other = world.nodes.first(where: { $0.address == address }) else { return }
            world.deliver(message, [], from: self, to: other.number)
        case .truncate(let index):
            guard index >= disk.applied else { return world.fail("node \(number) cuts off what it applied") }
            disk.cut(after: index)
        case .store(let first, let last):
            for entry in received where entry.index >= first && entry.index <= last { disk.append(entry) }
            sync()
        case .appendTerm(let position):
            disk.append(SimulatedEntry(term: position.term, index: position.index, value: 0))
            sync()
        case .adopt(let index, let last):
            guard let chain else { return world.fail("no chain to adopt") }
            for entry in chain.entries where entry.index > index && entry.index <= last { disk.append(entry) }
            sync()
        case .restore:
            guard let chain else { return world.fail("no chain to restore from") }
            disk.restore(chain.head)
        case .append(let position):
            for offset in 0..<proposed {
                let entry = SimulatedEntry(
                    term: position.term, index: position.index + offset, value: world.history.newValue())
                disk.append(entry)
                writes[entry.index] = entry
            }
            sync()
            // Where clients wait for the store, uploads wait for nothing.
            if replica?.needsChain ?? false {
                world.after(world.time(0, 5)) { [self] in whenRunning(life) { [self] in pump(everything: true) } }
            }
        case .commit(let index): commit(index)
        case .swap(let record, let old): swap(record, old)
        case .readRecord:
            world.store.electionRequests += 1
            world.request(self, { [world] in world.store.record }) { [self] record in
                handle(record.map { .record($0) } ?? .recordUnavailable)
            }
        case .readChain(let attempt): readChain(life, attempt)
        case .fence(let previous, let last, let attempt): fence(previous, last, attempt)
        case .readHead(let attempt): readHead(life, attempt)
        case .upload(let first, let term):
            upload = SimulatedUpload(term: term, next: first)
            scheduleUpload(life, term)
        case .flush: pump(everything: true)
        case .answerRead(let id, let index):
            guard let read = reads.removeValue(forKey: id) else { return }
            if let wrong = world.history.answerRead(index, required: read.required, by: number) { world.fail(wrong) }
        case .refuseRead(let id):
            if reads.removeValue(forKey: id) == nil { world.fail("node \(number) refuses a read that nobody asked") }
        case .lead(let term):
            if let wrong = world.history.lead(term, by: number) { world.fail(wrong) }
            scheduleCheckpoint(life, term)
        case .stepDown:
            writes = [:]
            upload = nil
        case .conflict(let index): world.fail("node \(number) finds a conflict at \(index)")
        case .stopped:
            self.life += 1
            replica = nil
            disk.synced = disk.last.index
            disk.flushed = (disk.applied, disk.digest)
            upload = nil
            guard restarts else { return }
            world.after(world.time(10, 2_000)) { [self] in if !isUp { start() } }
        }
    }

    private func sync() {
        let (life, through, cuts) = (life, disk.last.index, replica?.cuts ?? 0)
        world.after(slowDisk ? world.time(100, 1_500) : world.time(0, 5)) { [self] in
            whenRunning(life) { [self] in
                // What was cut off meanwhile is not there to be fsynced.
                if cuts == replica?.cuts ?? 0 { disk.synced = max(disk.synced, through) }
                handle(.fsynced(through: through, cuts: cuts))
            }
        }
    }

    private func commit(_ index: UInt64) {
        if replica?.role == .leading { checkDurable(index) }
        apply(through: index)
        if world.chance(200) { disk.flushed = (disk.applied, disk.digest) }
        for waiting in writes.keys.sorted() where waiting <= index {
            guard let entry = writes.removeValue(forKey: waiting) else { continue }
            if let wrong = world.history.acknowledge(entry, by: replica?.term ?? 0) {
                world.fail("node \(number): " + wrong)
            }
        }
        if world.chance(20) { forget() }
    }

    private func apply(through index: UInt64) {
        while disk.applied < index {
            guard let entry = disk.entry(disk.applied + 1) else {
                return world.fail("node \(number) lacks an entry to apply")
            }
            if let wrong = world.history.commit(entry, by: number) { return world.fail(wrong) }
            disk.apply(through: entry.index)
        }
    }

    /// What is committed is where the plan says: in the store, or on every disk of the in-sync set and at least two.
    private func checkDurable(_ index: UInt64) {
        guard index > world.history.committedMax, world.plan.durability != .local, let entry = disk.entry(index)
        else { return }
        let isStored = world.store.chain.last.index >= index
        let holders = (world.nodes.map(\.disk) + world.lostDisks).filter {
            $0.synced >= index && $0.entry(index) == entry
        }
        let set = world.store.record.map { $0.instanceID == disk.instance ? $0.inSyncSet : [disk.instance] } ?? []
        let isEverywhere = set.allSatisfy { member in holders.contains { $0.instance == member } }
        let mustBeStored = world.plan.durability == .objectStore || holders.count < 2
        if !isEverywhere || (mustBeStored && !isStored) {
            world.fail("\(entry) is committed, stored: \(isStored), with \(holders.map(\.instance)) of \(set)")
        }
    }

    /// Old segments of the log are deleted: those in the chain that the engine has for certain.
    private func forget() {
        let index = min(disk.flushed.index, world.store.chain.last.index, disk.synced, replica?.committed ?? 0)
        disk.forget(through: index)
        handle(.forgotten(through: index))
    }

    /// What the replica takes for its log is its log.
    private func checkLog() {
        guard let replica, replica.role != .stopped, world.failure == nil else { return }
        checks += 1
        let log = checks % 16 == 0 ? disk.termLog : replica.log
        if replica.log != log || (log.base, log.last) != (disk.base, disk.last) {
            world.fail("node \(number) has the log \(log), and takes it for \(replica.log)")
        }
        if replica.durable > disk.synced { world.fail("node \(number) takes more for durable than is: \(summary)") }
        if let until = replica.servesUntil, clock < until, replica.term < world.history.newestTerm {
            world.fail("node \(number) may serve, after a later leader acknowledged writes: \(summary)")
        }
    }

    // MARK: Clients

    func write(_ count: UInt64) {
        guard let replica, !isPaused, replica.isServing else { return }
        guard disk.last.index < (replica.committed + 300) else { return }
        proposed = count
        handle(.propose(count))
    }

    /// A client reads here: a follower asks whom it takes for the leader.
    func read() {
        guard let replica, !isPaused else { return }
        let required = world.history.acknowledged
        let asked = replica.lead != nil ? number : replica.leader.flatMap { world.number(of: $0) } ?? number
        let delay = asked == number ? .zero : world.time(0, 4)
        let other = world.nodes[asked]
        let life = other.life
        world.after(delay) { other.whenRunning(life) { other.read(required: required) } }
    }

    private func read(required: UInt64) {
        readCount += 1
        reads[readCount] = (required, number)
        handle(.read(readCount))
    }
}
