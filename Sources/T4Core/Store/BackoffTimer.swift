import Dispatch

/// Time for what waits before it tries again, so that tests need not wait.
package struct BackoffTimer: Sendable {
    /// Elapsed time.
    package var clock: any ElapsedClock
    /// Returns after the time, or at once when the task is cancelled.
    package var pause: @Sendable (Duration) async -> Void

    package init(clock: any ElapsedClock, pause: @escaping @Sendable (Duration) async -> Void) {
        self.clock = clock
        self.pause = pause
    }

    /// The time of this machine.
    package static let system = BackoffTimer(clock: BootClock()) { duration in
        let end = FirstValue<Void>()
        let time = DispatchTimeInterval.nanoseconds(Int(duration.nanoseconds))
        DispatchQueue.global().asyncAfter(deadline: .now() + time) { end.give(()) }
        await withTaskCancellationHandler {
            await end.wait()
        } onCancel: {
            end.give(())
        }
    }
}
