import T4Core
import T4Protocols

/// One thread for requests that read the whole database, so that event loops stay free. Started with the first.
final class BackgroundQueue: Sendable {
    private struct State {
        var waiting: [@Sendable () -> Void] = []
        var thread: SystemThread?
        var isStopping = false
    }

    private let state = Monitor(State())

    /// Runs `work` after everything that was handed over before; drops it after `stop`.
    func run(_ work: @escaping @Sendable () -> Void) {
        state.withLock { state in
            guard !state.isStopping else { return }
            state.waiting.append(work)
            if state.thread == nil { state.thread = SystemThread(name: "t4-background") { self.loop() } }
        }
        state.signal()
    }

    /// Finishes what waits and ends the thread.
    func stop() {
        let thread = state.withLock { state in
            state.isStopping = true
            return state.thread
        }
        state.broadcast()
        thread?.join()
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
