import Dispatch
import Synchronization
import T4Protocols

/// Runs calls that block, a limited number at once, away from the threads that Swift's tasks share.
///
/// Each lane is a serial dispatch queue, which has a thread of its own while it works and none while it is idle.
final class BlockingLanes: Sendable {
    private enum Phase {
        case running
        /// Work is refused; once the lanes are idle `last` runs, then these are resumed.
        case stopping([CheckedContinuation<Void, Never>])
        case stopped
    }

    private struct State {
        var phase = Phase.running
        var idle: [DispatchQueue]
        var waiting: [@Sendable () -> Void] = []
        /// Index of the first of `waiting` that has not begun.
        var next = 0
        var last: (@Sendable () -> Void)?

        mutating func takeNext() -> (@Sendable () -> Void)? {
            guard next < waiting.count else {
                waiting.removeAll(keepingCapacity: true)
                next = 0
                return nil
            }
            defer { next += 1 }
            return waiting[next]
        }
    }

    private let state: Mutex<State>
    private let count: Int
    private let waitingMax: Int

    /// - Parameter waitingMax: Calls that may wait for a lane; further ones are refused.
    init(count: Int, waitingMax: Int = 4096) {
        self.count = count
        self.waitingMax = waitingMax
        state = Mutex(State(idle: (0..<count).map { DispatchQueue(label: "t4.filesystem-store.\($0)") }))
    }

    /// Runs `work` on a lane. A caller that is cancelled does not stop it.
    /// - Throws: What `work` throws; `.closed` after `stop`, `.unavailable` when too many wait, and `work` did not run.
    func run<Result: Sendable>(
        _ work: @escaping @Sendable () throws(ObjectStoreError) -> Result
    ) async throws(ObjectStoreError) -> Result {
        let result: Swift.Result<Result, ObjectStoreError> = await withCheckedContinuation { continuation in
            let refusal = submit {
                do throws(ObjectStoreError) {
                    continuation.resume(returning: .success(try work()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
            if let refusal { continuation.resume(returning: .failure(refusal)) }
        }
        return try result.get()
    }

    /// Refuses new work, waits until all that was taken is done, and runs `last` on a lane. Later calls wait for the
    /// first and leave out theirs.
    func stop(last: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { continuation in
            let lane: DispatchQueue? = state.withLock { state in
                switch state.phase {
                case .running:
                    state.phase = .stopping([continuation])
                    state.last = last
                    return state.idle.count == count ? state.idle.first : nil
                case .stopping(let others):
                    state.phase = .stopping(others + [continuation])
                    return nil
                case .stopped:
                    continuation.resume()
                    return nil
                }
            }
            lane?.async { self.finish() }
        }
    }

    private func submit(_ work: @escaping @Sendable () -> Void) -> ObjectStoreError? {
        let (lane, refusal): (DispatchQueue?, ObjectStoreError?) = state.withLock { state in
            guard case .running = state.phase else {
                return (nil, ObjectStoreError(.closed, "the filesystem store was closed"))
            }
            guard state.waiting.count - state.next < waitingMax else {
                return (
                    nil, ObjectStoreError(.unavailable, "\(waitingMax) calls already wait for the filesystem store")
                )
            }
            state.waiting.append(work)
            return (state.idle.popLast(), nil)
        }
        lane?.async { self.drain(lane) }
        return refusal
    }

    private func drain(_ lane: DispatchQueue?) {
        while let work = state.withLock({ $0.takeNext() }) { work() }
        let (goesOn, isLast) = state.withLock { state in
            if state.next < state.waiting.count { return (true, false) }
            if let lane { state.idle.append(lane) }
            guard case .stopping = state.phase else { return (false, false) }
            return (false, state.idle.count == count)
        }
        if goesOn { lane?.async { self.drain(lane) } }
        if isLast { finish() }
    }

    private func finish() {
        state.withLock { $0.last.take() }?()
        let waiters = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            guard case .stopping(let waiters) = state.phase else { return [] }
            state.phase = .stopped
            return waiters
        }
        for waiter in waiters { waiter.resume() }
    }
}
