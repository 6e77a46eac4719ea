import T4Core
import T4Protocols

/// Threads for work that takes long, so that event loops stay free. Started with the first.
final class BackgroundQueue: Sendable {
    private struct State {
        var waiting: [@Sendable () -> Void] = []
        var threads: [SystemThread] = []
        var isStopping = false
    }

    private let name: String
    private let threadCount: Int
    private let waitingMax: Int
    private let state = Monitor(State())

    /// - Parameters:
    ///   - threads: How much is done at a time; with one, in the order in which it was handed over.
    ///   - waitingMax: How much may wait.
    init(name: String = "t4-background", threads: Int = 1, waitingMax: Int = .max) {
        self.name = name
        threadCount = threads
        self.waitingMax = waitingMax
    }

    /// Runs `work` after what was handed over before; drops it after `stop`.
    /// - Returns: False when too much waits: then it does not run.
    @discardableResult
    func run(_ work: @escaping @Sendable () -> Void) -> Bool {
        let isTaken = state.withLock { state in
            guard !state.isStopping else { return true }
            guard state.waiting.count < waitingMax else { return false }
            state.waiting.append(work)
            if state.threads.isEmpty {
                state.threads = (0..<threadCount).map { _ in SystemThread(name: name) { self.loop() } }
            }
            return true
        }
        state.signal()
        return isTaken
    }

    /// Ends the threads once nothing runs.
    /// - Parameter finishing: What waits is done before, or else dropped.
    func stop(finishing: Bool = true) {
        let threads = state.withLock { state in
            state.isStopping = true
            if !finishing { state.waiting = [] }
            return state.threads
        }
        state.broadcast()
        for thread in threads { thread.join() }
    }

    private func loop() {
        while true {
            let work: (@Sendable () -> Void)? = state.wait { state in
                if !state.waiting.isEmpty { return .some(state.waiting.removeFirst()) }
                return state.isStopping ? .some(nil) : nil
            }
            guard let work else { return }
            work()
        }
    }
}
