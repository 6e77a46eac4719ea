import T4Protocols

@testable import T4Core

extension Simulation {
    func scheduleFault() {
        guard let interval = plan.faultInterval else { return }
        after(mean(interval)) { [self] in
            guard !isCalm else { return }
            fault()
            scheduleFault()
        }
    }

    private func fault() {
        let node = nodes[pick(0...nodes.count - 1)]
        let leader = nodes.first { $0.replica?.role == .leading }
        let victim = chance(400) ? leader ?? node : node
        switch pick(0...13) {
        case 0, 1:
            guard victim.isUp else { return }
            victim.crash()
            after(time(0, 3_000)) { if !victim.isUp { victim.start() } }
        case 2:
            guard victim.isUp, !victim.isPaused else { return }
            let life = victim.life
            victim.pause()
            after(time(10, 5_000)) { if victim.life == life { victim.resume() } }
        case 3, 4:
            let other = nodes[pick(0...nodes.count - 1)]
            guard other.number != victim.number else { return }
            let pairs =
                chance(500)
                ? [[victim.number, other.number]]
                : [[victim.number, other.number], [other.number, victim.number]]
            tell("cut \(pairs)")
            cut.formUnion(pairs)
            after(time(50, 5_000)) { [self] in
                tell("healed \(pairs)")
                cut.subtract(pairs)
            }
        case 5:
            tell("node \(victim.number) cut from the store")
            cutFromStore.insert(victim.number)
            after(time(50, 5_000)) { [self] in cutFromStore.remove(victim.number) }
        case 6:
            let all = nodes.map(\.number).filter { $0 != victim.number }
            tell("node \(victim.number) alone")
            let pairs = all.flatMap { [[$0, victim.number], [victim.number, $0]] }
            cut.formUnion(pairs)
            after(time(50, 5_000)) { [self] in cut.subtract(pairs) }
        case 7:
            victim.slowDisk = true
            after(time(100, 4_000)) { victim.slowDisk = false }
        case 8:
            tell("node \(victim.number) is asked to stop")
            victim.whenRunning(victim.life) { victim.handle(.stop) }
        case 9:
            tell("the store is in trouble")
            isBadTime = true
            after(time(100, 3_000)) { [self] in isBadTime = false }
        case 10:
            tell("nobody reaches the store")
            cutFromStore.formUnion(nodes.map(\.number))
            after(time(100, 6_000)) { [self] in cutFromStore = [] }
        case 11 where chance(300):
            tell("the power fails")
            for node in nodes {
                if node.isUp { node.crash() }
                after(time(0, 2_000)) { if !node.isUp { node.start() } }
            }
        case 12:
            let heir = nodes[pick(0...nodes.count - 1)]
            tell("node \(victim.number) is asked to hand over to \(heir.number)")
            victim.whenRunning(victim.life) { victim.handle(.handOver(to: heir.disk.instance)) }
        default:
            guard plan.losesDisks, mayLose(victim) else { return }
            victim.loseDisk()
            after(time(0, 3_000)) { if !victim.isUp { victim.start() } }
        }
    }

    /// Something that matters is under way to the store: a good moment to die.
    func tempt(_ node: SimulatedNode) {
        guard !isCalm, plan.faultInterval != nil, chance(30) else { return }
        let life = node.life
        after(time(0, 40)) { [self] in
            guard life == node.life else { return }
            node.crash()
            after(time(0, 1_000)) { if !node.isUp { node.start() } }
        }
    }

    /// Whether everything committed survives the loss of this disk: it is in the store, or on another member's disk.
    private func mayLose(_ node: SimulatedNode) -> Bool {
        guard let record = store.record else { return false }
        // Also as a swap that is on its way may say.
        let possible = [record] + store.swaps.filter { $0.replaced == record }.map(\.record)
        return possible.allSatisfy { record in
            record.storeComplete || record.inSyncSet.contains { $0 != node.disk.instance && number(of: $0) != nil }
        }
    }

    /// Everything is mended.
    func calmDown() {
        tell("calm")
        isCalm = true
        isBadTime = false
        cut = []
        cutFromStore = []
        for node in nodes {
            node.slowDisk = false
            if node.isPaused { node.resume() }
            if !node.isUp { node.start() }
        }
        // Records of the dead may land yet: whoever meets one waits, and longer each time.
        after(.seconds(28)) { [self] in
            for node in nodes { node.write(1) }
        }
        after(.seconds(30)) { [self] in
            readsBefore = history.readCount
            for node in nodes { node.read() }
        }
    }

    /// Some time after everything was mended, one node leads and all have the same.
    func checkAgreement() {
        guard failure == nil else { return }
        let leaders = nodes.filter { $0.replica?.isServing ?? false }
        guard leaders.count == 1, let leader = leaders.first else {
            return fail("\(leaders.count) nodes lead after everything was mended: \(nodes.map(\.summary))")
        }
        guard history.acknowledged == leader.disk.last.index else {
            return fail("writes are not acknowledged after everything was mended: \(nodes.map(\.summary))")
        }
        for node in nodes where (node.disk.applied, node.disk.digest) != (leader.disk.applied, leader.disk.digest) {
            fail("nodes differ after everything was mended: \(nodes.map(\.summary))")
        }
        guard history.readCount == readsBefore + nodes.count else {
            return fail("reads are not answered after everything was mended: \(nodes.map(\.summary))")
        }
        let set = store.record?.inSyncSet ?? []
        guard Set(set) == Set(nodes.map(\.disk.instance)) else {
            return fail("the in-sync set is \(set): \(nodes.map(\.summary))")
        }
    }
}

extension SimulatedNode {
    var summary: String {
        guard let replica else { return "\(number): down" }
        return
            "\(number) \(disk.instance): \(replica.role) term \(replica.term), log \(disk.last), committed \(replica.committed), "
            + "applied \(disk.applied), digest \(disk.digest % 1000)"
    }
}
