import Synchronization

/// How long something took, counted in classes that double from one millisecond.
///
/// One thread at a time observes, anyone reads, so no locked instruction is needed.
package final class LatencyHistogram: @unchecked Sendable {
    // Unchecked: the memory that the pointer names holds atomics and nothing else.

    /// What was counted up to some moment; numbers that change meanwhile may be of slightly different moments.
    package struct Reading: Sendable {
        /// Upper bound of each class in seconds, and how many took no longer.
        package let atMost: [(seconds: Double, count: Int)]
        package let count: Int
        package let seconds: Double
    }

    private static let classCount = 14

    private let counts: UnsafeMutablePointer<Atomic<Int>>
    private let nanoseconds = Atomic<Int64>(0)

    package init() {
        counts = .allocate(capacity: Self.classCount + 1)
        for index in 0...Self.classCount { (counts + index).initialize(to: Atomic(0)) }
    }

    deinit {
        counts.deinitialize(count: Self.classCount + 1)
        counts.deallocate()
    }

    package func observe(_ time: Duration) {
        let time = time.nanoseconds
        var index = 0
        var bound: Int64 = 1_000_000
        while index < Self.classCount, time > bound {
            index += 1
            bound *= 2
        }
        Self.add(1, to: counts[index])
        nanoseconds.store(nanoseconds.load(ordering: .relaxed) &+ time, ordering: .relaxed)
    }

    package var reading: Reading {
        var total = 0
        var atMost: [(seconds: Double, count: Int)] = []
        for index in 0..<Self.classCount {
            total += counts[index].load(ordering: .relaxed)
            atMost.append((Double(1 << index) / 1000, total))
        }
        total += counts[Self.classCount].load(ordering: .relaxed)
        return Reading(
            atMost: atMost, count: total, seconds: Double(nanoseconds.load(ordering: .relaxed)) / 1_000_000_000)
    }

    private static func add(_ amount: Int, to counter: borrowing Atomic<Int>) {
        counter.store(counter.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }
}
