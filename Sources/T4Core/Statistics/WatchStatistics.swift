import Synchronization

/// Readings of history for watches that catch up. Written by the hub's thread.
package final class WatchStatistics: Sendable {
    /// How long a reading took, from the engine to the choice of what each watch gets.
    package let times = Histogram(seconds: [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1])
    /// Revisions of a reading.
    package let spans = Histogram(numbers: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000])
    private let readCount = Atomic<Int>(0)
    private let chosenCount = Atomic<Int>(0)

    /// Changes that were read.
    package var changesRead: Int { readCount.load(ordering: .relaxed) }
    /// Those that watches got, once for each.
    package var changesChosen: Int { chosenCount.load(ordering: .relaxed) }

    func read(_ replay: Replay, _ found: Replay.Found, _ stopwatch: Stopwatch) {
        times.observe(stopwatch.nanoseconds())
        spans.observe(found.through - replay.first + 1)
        Counter.add(replay.changeCount, to: readCount)
        Counter.add(found.members.reduce(0) { $0 + ($1.events?.events.count ?? 0) }, to: chosenCount)
    }
}
