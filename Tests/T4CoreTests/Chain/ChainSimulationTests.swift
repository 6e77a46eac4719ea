import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

// Nodes share a store whose puts land in any order, late, or without an answer. A node is started again at any moment,
// and takes over while another one still believes that it leads. Whatever was released to anybody must be in the chain.

@Suite struct ChainSimulationTests {
    /// A node and its log on disk.
    struct Node {
        var log: [LogEntry] = []
        var run: UploadRun?
    }

    final class World {
        var random: SeededGenerator
        let held: HeldStore
        let clean: BlockingStore
        var nodes: [Node]
        var term: UInt64 = 0
        /// Each run with the log it had at its end.
        var runs: [(run: UploadRun, log: [LogEntry])] = []
        /// Rises with whatever happens.
        let signal = Monitor(0)

        init(_ base: any ObjectStore, seed: UInt64, nodeCount: Int) {
            random = SeededGenerator(seed: seed)
            nodes = Array(repeating: Node(), count: nodeCount)
            clean = BlockingStore(base)
            let faults = [
                StoreFault(.put, .beforeEffect, .random(0.1)),
                StoreFault(.put, .beforeEffect, .random(0.1), error: .outcomeUnknown),
                StoreFault(.put, .afterEffect, .random(0.1), error: .outcomeUnknown),
                StoreFault(.put, .afterEffect, .random(0.05)),
                StoreFault(.get, .beforeEffect, .random(0.1)),
            ]
            let signal = signal
            held = HeldStore(FaultyStore(base, faults: faults, seed: seed)) { World.tell(signal) }
        }

        private static func tell(_ signal: Monitor<Int>) {
            signal.withLock { $0 += 1 }
            signal.broadcast()
        }

        /// Starts a node, again or for the first time: where its log disagrees with the chain, the chain wins.
        func start(_ number: Int) throws {
            stop(number)
            term += 1
            let (entries, end) = try chain(clean)
            if !nodes[number].log.starts(with: entries) { nodes[number].log = entries }
            let signal = signal
            let run = UploadRun(
                held, term: term, end: end.position, endTerm: end.term,
                isSynchronous: Bool.random(using: &random)
            ) { World.tell(signal) }
            nodes[number].run = run
            var tail = nodes[number].log.dropFirst(entries.count)
            while !tail.isEmpty {
                let batch = tail.prefix(Int.random(in: 1...4, using: &random))
                tail.removeFirst(batch.count)
                run.add(Array(batch))
            }
            append(number)
        }

        func stop(_ number: Int) {
            guard let run = nodes[number].run else { return }
            run.stop()
            runs.append((run, nodes[number].log))
            nodes[number].run = nil
        }

        /// A batch of entries of the node's term; its own `term` when it was started.
        func append(_ number: Int) {
            guard let run = nodes[number].run, !hasFailed(run) else { return }
            let first = nodes[number].log.count + 1
            let entries = LogFixture.entries(
                first...first + Int.random(in: 0...2, using: &random),
                term: max(nodes[number].log.last?.position.term ?? 0, terms[ObjectIdentifier(run), default: term]))
            terms[ObjectIdentifier(run)] = entries[0].position.term
            nodes[number].log += entries
            run.add(entries)
            run.uploader.flush()
        }

        private var terms: [ObjectIdentifier: UInt64] = [:]

        func hasFailed(_ run: UploadRun) -> Bool { run.events.withLock { !$0.failures.isEmpty } }

        /// Waits until a put is held or the node has nothing more to do.
        func settle(_ number: Int) {
            guard let run = nodes[number].run else { return }
            signal.wait { _ in
                !held.heldKeys.isEmpty || hasFailed(run) || run.uploader.status.backlogCount == 0 ? () : nil
            }
        }

        func step() throws {
            let number = Int.random(in: nodes.indices, using: &random)
            switch Int.random(in: 0..<10, using: &random) {
            case 0: try start(number)
            case 1...4: append(number)
            default:
                settle(number)
                if let index = held.heldKeys.indices.randomElement(using: &random) { held.letThrough(index) }
            }
        }

        /// Lets everything land, and one node bring its whole log into the store.
        func finish() throws -> [LogEntry] {
            held.open()
            for number in nodes.indices.dropFirst() { stop(number) }
            for _ in 0..<100 {
                if let run = nodes[0].run, let last = nodes[0].log.last, run.uploader.wait(for: last.position.index) {
                    run.waitForRelease(of: last.position.index)
                    let log = nodes[0].log
                    stop(0)
                    return log
                }
                try start(0)
            }
            Issue.record("the log does not get into the store")
            return []
        }
    }

    @Test(arguments: [1, 2], 1...40 as ClosedRange<UInt64>)
    func whatWasReleasedIsInTheChain(_ nodeCount: Int, _ seed: UInt64) async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let world = World(base, seed: seed, nodeCount: nodeCount)
            for number in world.nodes.indices { try world.start(number) }
            for _ in 0..<150 { try world.step() }
            let log = try world.finish()
            let entries = try chain(world.clean).entries
            // A put of the other node may land behind the end at any time.
            #expect(Array(entries.prefix(log.count)) == log, "without a gap, each once")
            if nodeCount == 1 { #expect(entries.count == log.count) }
            for (run, log) in world.runs {
                let released = run.released
                #expect(released == released.sorted() && Set(released).count == released.count)
                let count = Int(released.last ?? 0)
                #expect(entries.count >= count && entries.prefix(count) == log.prefix(count), "released to somebody")
            }
        }
    }
}
