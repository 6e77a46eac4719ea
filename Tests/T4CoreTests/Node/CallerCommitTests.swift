import Synchronization
import T4Core
import T4Protocols
import Testing

/// Goal: a caller that has nothing else to do commits its own proposal, and nobody notices but by the time it takes.
/// Method: the pipeline on a log double whose sync can be held up, made to fail, or take time by a clock set by hand.
struct CallerCommitTests {
    private typealias Pipeline = PipelineTests.Pipeline

    /// What became of proposals, in the order in which they were answered.
    private final class Answers: Sendable {
        private let state = Monitor<[(name: String, code: DatabaseError.Code?)]>([])

        func add(_ name: String, _ result: Result<ProposalResponse, DatabaseError>) {
            var code: DatabaseError.Code?
            if case .failure(let error) = result { code = error.code }
            state.withLock { $0.append((name, code)) }
            state.broadcast()
        }

        var names: [String] { state.withLock { $0.map(\.name) } }
        var codes: [DatabaseError.Code?] { state.withLock { $0.map(\.code) } }

        func wait(for count: Int) { _ = state.wait { $0.count >= count ? true : nil } }
    }

    /// - Returns: Whether the caller committed it itself.
    @discardableResult
    private func put(_ key: String, _ pipeline: Pipeline, _ answers: Answers, takesOver: Bool = true) -> Bool {
        let request = PutRequest(key: [UInt8](key.utf8), value: [1])
        let proposal = Proposal(.put(request)) { answers.add(key, $0) }
        guard pipeline.queue.submit(proposal, takesOver: takesOver) else { return false }
        pipeline.commit.commitHere(proposal)
        return true
    }

    @Test func isAnsweredBeforeTheCallReturns() throws {
        let pipeline = try Pipeline()
        let answers = Answers()
        for key in ["a", "b", "c"] {
            #expect(put(key, pipeline, answers))
            #expect(answers.names.last == key)
        }
        #expect(answers.codes == [nil, nil, nil])
        #expect(pipeline.log.state.withLock { $0.syncs } == 3)
        #expect(try StateReader(pipeline.engine.snapshot()).meta.revision == Revision(4))
        pipeline.stop()
    }

    @Test func whatComesMeanwhileFollowsInOrder() async throws {
        let pipeline = try Pipeline()
        let answers = Answers()
        pipeline.log.change { $0.gate = true }
        let caller = SystemThread(name: "caller") { put("first", pipeline, answers) }
        pipeline.log.waitUntilHeld()
        // Neither the commit thread nor another caller may commit beside the first.
        for key in ["second", "third"] { #expect(!put(key, pipeline, answers)) }
        #expect(pipeline.log.state.withLock { $0.held } == 1)
        pipeline.log.change { $0.gate = nil }
        answers.wait(for: 3)
        caller.join()
        #expect(answers.names == ["first", "second", "third"])
        #expect(pipeline.log.state.withLock { $0.entries.map(\.position.index) } == [1, 2, 3])
        pipeline.stop()
    }

    @Test func nobodyTakesOverFromTheCommitThread() throws {
        let pipeline = try Pipeline()
        let answers = Answers()
        pipeline.log.change { $0.gate = true }
        put("first", pipeline, answers, takesOver: false)
        pipeline.log.waitUntilHeld()
        #expect(!put("second", pipeline, answers))
        pipeline.log.change { $0.gate = nil }
        answers.wait(for: 2)
        #expect(answers.names == ["first", "second"])
        pipeline.stop()
    }

    @Test func aFailedSyncEndsTheNodeAllTheSame() throws {
        let pipeline = try Pipeline()
        let answers = Answers()
        pipeline.log.change { $0.failsAppend = true }
        #expect(put("a", pipeline, answers))
        pipeline.log.change { $0.failsAppend = false }
        put("b", pipeline, answers)
        put("c", pipeline, answers, takesOver: false)
        answers.wait(for: 3)
        #expect(answers.codes == [.outcomeUnknown, .stopped, .stopped])
        #expect(pipeline.observer.failures.withLock { $0.count } == 1)
        #expect(pipeline.log.state.withLock { $0.syncs } == 1)
        pipeline.stop()
    }

    @Test func aSlowDiskIsLeftToTheCommitThread() throws {
        let clock = ManualClock()
        let pipeline = try Pipeline(elapsed: clock)
        let answers = Answers()
        pipeline.log.change { $0.onSync = { clock.advance(by: .milliseconds(2)) } }
        #expect(put("slow", pipeline, answers))
        pipeline.log.change { $0.onSync = nil }
        let reserved = CommitThread.Limits().reservedCount
        for _ in 0..<reserved { #expect(!put("left", pipeline, answers)) }
        answers.wait(for: reserved + 1)
        // The commit thread may have answered everything and not yet asked for more.
        var count = reserved + 1
        while !put("again", pipeline, answers) {
            count += 1
            answers.wait(for: count)
        }
        pipeline.stop()
    }

    @Test func whatWouldHaveToWaitGoesToTheCommitThread() throws {
        let pipeline = try Pipeline()
        let answers = Answers()
        let hold = Monitor((isBusy: false, isOver: false))
        pipeline.stage.maintain(WriteBatch()) { _ in
            hold.withLock { $0.isBusy = true }
            hold.broadcast()
            _ = hold.wait { $0.isOver ? true : nil }
        }
        _ = hold.wait { $0.isBusy ? true : nil }
        // Returns although nothing can be applied.
        #expect(put("a", pipeline, answers))
        #expect(answers.names.isEmpty)
        hold.withLock { $0.isOver = true }
        hold.broadcast()
        answers.wait(for: 1)
        #expect(answers.codes == [nil])
        pipeline.stop()
    }
}
