import T4Protocols

@testable import T4Core

/// What a node asks of election and object store.
extension SimulatedNode {
    /// Asks the store again and again, until there is an answer or this life is over.
    private func ask<Answer>(
        _ life: Int, _ read: @escaping (SimulatedStore) -> Answer, _ done: @escaping (Answer) -> Void
    ) {
        world.request(self, { [world] in read(world.store) }) { [self] answer in
            if let answer { return done(answer) }
            world.after(world.time(20, 100)) { [self] in if life == self.life { ask(life, read, done) } }
        }
    }

    func readChain(_ life: Int, _ attempt: UInt64) {
        ask(life, { $0.chain }) { [self] found in
            chains[attempt] = found
            handle(.chain(found.view, attempt: attempt))
        }
    }

    func readHead(_ life: Int, _ attempt: UInt64) {
        ask(life, { $0.head.covered.index }) { [self] in handle(.head(covered: $0, attempt: attempt)) }
    }

    /// The election: the outcome is unknown where the answer is lost; the same record again is the same swap.
    func swap(_ record: LeaderRecord, _ old: LeaderRecord?) {
        world.store.electionRequests += 1
        world.store.swaps.append((old, record))
        world.tempt(self)
        enum Answer { case won, refused(LeaderRecord?) }
        let put: () -> Answer = { [world] in
            if world.store.record == record { return .won }
            guard world.store.record == old else { return .refused(world.store.record) }
            world.store.record = record
            return .won
        }
        if !world.isCalm, world.chance(5) { return handle(.swapped(nonce: record.nonce, .failed)) }
        world.request(self, put) { [self] answer in
            switch answer {
            case .won?: handle(.swapped(nonce: record.nonce, .won))
            case .refused(let other)?: handle(.swapped(nonce: record.nonce, .refused(other)))
            case nil: handle(.swapped(nonce: record.nonce, .unknown))
            }
        }
    }

    func fence(_ previous: LogPosition, _ last: UInt64, _ attempt: UInt64) {
        guard let term = replica?.term else { return }
        world.tempt(self)
        let first = previous.index + 1
        var entries = disk.entries(from: first, through: min(last, disk.last.index))
        if entries.isEmpty {
            entries = [SimulatedEntry(term: term, index: first, value: 0)]
        } else {
            entries = Array(entries.prefix(world.pick(1...entries.count)))
        }
        put(SimulatedObject(header: term, previous: previous, entries: entries), life) { [self] outcome in
            switch outcome {
            case .stored(let through): handle(.fenced(.stored(through: through), attempt: attempt))
            case .inChain: handle(.fenced(.taken, attempt: attempt))
            case .deposed(let other): handle(.fenced(.deposed(by: other), attempt: attempt))
            }
        }
    }

    enum PutOutcome { case stored(UInt64), inChain, deposed(UInt64) }

    /// Puts an object of the log by the rule of the chain (L2): again and again while the answer is lost.
    func put(
        _ object: SimulatedObject, replacing orphan: SimulatedObject? = nil, _ life: Int,
        _ done: @escaping (PutOutcome) -> Void
    ) {
        enum Answer { case stored, other(SimulatedObject, inChain: Bool), gone }
        let work: () -> Answer = { [world] in
            guard let there = world.store.objects[object.name] else {
                if orphan != nil { return .gone }
                world.store.objects[object.name] = object
                return .stored
            }
            if there == object { return .stored }
            if let orphan, there == orphan {
                world.store.objects[object.name] = object
                return .stored
            }
            let chain = world.store.chain
            return .other(there, inChain: chain.names.contains(object.name) || object.name <= chain.head.covered.index)
        }
        world.request(self, work) { [self] answer in
            switch answer {
            case nil, .gone?:
                world.after(world.time(20, 100)) { [self] in
                    whenRunning(life) { [self] in put(object, replacing: nil, life, done) }
                }
            case .stored?: done(.stored(object.last.index))
            case .other(let there, let inChain)?:
                if there.header == object.header {
                    done(.stored(there.last.index))
                } else if there.header > object.header {
                    done(.deposed(there.header))
                } else if inChain {
                    done(.inChain)
                } else {
                    put(object, replacing: there, life, done)
                }
            }
        }
    }

    // MARK: Uploads and checkpoints

    func scheduleUpload(_ life: Int, _ term: UInt64) {
        world.after(world.time(1, world.isCalm ? 100 : world.uploadTime)) { [self] in
            guard life == self.life, upload?.term == term else { return }
            if !isPaused { pump(everything: false) }
            scheduleUpload(life, term)
        }
    }

    func pump(everything: Bool) {
        while let running = upload, running.underWay < 3, running.next <= disk.last.index {
            let through = everything ? disk.last.index : min(disk.last.index, running.next + UInt64(world.pick(0...5)))
            guard let before = replica?.log.term(at: running.next - 1) else { return }
            let object = SimulatedObject(
                header: running.term, previous: LogPosition(term: before, index: running.next - 1),
                entries: disk.entries(from: running.next, through: through))
            upload?.next = through + 1
            upload?.underWay += 1
            put(object, life) { [self] outcome in
                if upload?.term == running.term { upload?.underWay -= 1 }
                switch outcome {
                case .stored(let end):
                    guard upload?.term == running.term else {
                        // The answer to what it put in an earlier term.
                        return handle(.stored(through: end, term: running.term))
                    }
                    upload?.stored(object.name, end)
                    handle(.stored(through: upload?.through ?? 0, term: running.term))
                case .inChain: world.fail("node \(number) finds its name taken in its own chain: \(object)")
                case .deposed(let other): handle(.deposed(by: other))
                }
            }
        }
    }

    func scheduleCheckpoint(_ life: Int, _ term: UInt64) {
        guard world.plan.hasCheckpoints else { return }
        world.after(world.time(200, 4_000)) { [self] in
            guard life == self.life, replica?.role == .leading, replica?.term == term else { return }
            if !isPaused { checkpoint() }
            scheduleCheckpoint(life, term)
        }
    }

    /// A checkpoint, its head, and the collection of the log behind it: three requests, between which anything may happen.
    func checkpoint() {
        guard let committed = replica?.committed else { return }
        world.request(self, { [world] in world.store.chain }) { [self] chain in
            guard let chain, let end = chain.ends.last(where: { $0.position.index <= committed }) else { return }
            let head = SimulatedHead(
                covered: end.position, header: end.header, digest: end.digest,
                fences: chain.fences.filter { $0 <= end.position.index })
            let write: () -> Bool = { [world] in
                guard world.store.head.covered < head.covered else { return false }
                world.store.head = head
                return true
            }
            world.request(self, write) { [self] isWritten in
                guard isWritten == true else { return }
                world.tell("node \(number) checkpoint \(head.covered), fences \(head.fences.sorted())")
                let collect: () -> Void = { [world] in
                    world.store.objects = world.store.objects.filter {
                        $0.value.last.index > head.covered.index || head.fences.contains($0.key)
                    }
                }
                world.request(self, collect) { _ in }
            }
        }
    }
}
