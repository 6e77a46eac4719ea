import Synchronization

/// A timer that can be ended: pauses return, and deadlines are over, so that nobody tries again.
package final class EndableTimer: Sendable {
    private struct State {
        var isEnded = false
        var pauses: [UInt64: FirstValue<Void>] = [:]
        var number: UInt64 = 0
    }

    private let base: BackoffTimer
    private let state = Mutex(State())

    package init(_ base: BackoffTimer) { self.base = base }

    /// What waits uses this.
    package var timer: BackoffTimer {
        BackoffTimer(clock: EndableClock(timer: self)) { await self.pause($0) }
    }

    /// Ends every pause, now and later.
    package func end() {
        let pauses = state.withLock { state in
            state.isEnded = true
            defer { state.pauses = [:] }
            return state.pauses.values.map(\.self)
        }
        for pause in pauses { pause.give(()) }
    }

    private func pause(_ duration: Duration) async {
        let over = FirstValue<Void>()
        let number: UInt64? = state.withLock { state in
            if state.isEnded { return nil }
            state.number += 1
            state.pauses[state.number] = over
            return state.number
        }
        guard let number else { return }
        let base = base
        let waiting = Task {
            await base.pause(duration)
            over.give(())
        }
        await over.wait()
        waiting.cancel()
        state.withLock { $0.pauses[number] = nil }
    }

    /// The time of the base; centuries later once the timer was ended.
    private struct EndableClock: ElapsedClock {
        let timer: EndableTimer

        var now: Duration {
            let now = timer.base.clock.now
            return timer.state.withLock { $0.isEnded } ? now + .seconds(10_000_000_000) : now
        }
    }
}
