import Synchronization

/// How long something took, or how much it was, counted in classes.
///
/// Anyone reads while others observe. Where one thread at a time observes, no locked instruction is needed.
package final class Histogram: @unchecked Sendable {
    // Unchecked: the memory that the pointer names holds atomics and nothing else.

    /// Who observes.
    package enum Writers: Sendable {
        /// One thread at a time.
        case one
        /// Any threads at once.
        case many
    }

    /// What was counted up to some moment; numbers that change meanwhile may be of slightly different moments.
    package struct Reading: Sendable {
        /// Upper bound of each class, and how many were no greater: seconds of times, else as observed.
        package let atMost: [(bound: Double, count: Int)]
        package let count: Int
        package let sum: Double

        package init(atMost: [(bound: Double, count: Int)], count: Int, sum: Double) {
            self.atMost = atMost
            self.count = count
            self.sum = sum
        }
    }

    /// What is observed, for one that stands as 1 in a reading.
    private let unit: Double
    private let bounds: [Int64]
    private let isShared: Bool
    private let counts: UnsafeMutablePointer<Atomic<Int>>
    private let total = Atomic<Int64>(0)

    private init(_ bounds: [Int64], unit: Double, _ writers: Writers) {
        precondition(zip(bounds, bounds.dropFirst()).allSatisfy { $0 < $1 }, "bounds rise")
        self.bounds = bounds
        self.unit = unit
        isShared = writers == .many
        counts = .allocate(capacity: bounds.count + 1)
        for index in 0...bounds.count { (counts + index).initialize(to: Atomic(0)) }
    }

    /// Of times.
    /// - Parameter bounds: Seconds, rising.
    package convenience init(seconds bounds: [Double], _ writers: Writers = .one) {
        self.init(bounds.map { Int64(($0 * 1_000_000_000).rounded()) }, unit: 1_000_000_000, writers)
    }

    /// Of plain numbers.
    /// - Parameter bounds: Rising.
    package convenience init(numbers bounds: [Int], _ writers: Writers = .one) {
        self.init(bounds.map(Int64.init), unit: 1, writers)
    }

    deinit {
        counts.deinitialize(count: bounds.count + 1)
        counts.deallocate()
    }

    /// A time.
    package func observe(_ time: Duration) { observe(time.nanoseconds) }

    /// Nanoseconds, or a plain number.
    package func observe(_ value: Int64) {
        var index = 0
        while index < bounds.count, value > bounds[index] { index += 1 }
        if isShared {
            counts[index].add(1, ordering: .relaxed)
            total.add(value, ordering: .relaxed)
        } else {
            Counter.add(1, to: counts[index])
            total.store(total.load(ordering: .relaxed) &+ value, ordering: .relaxed)
        }
    }

    package var reading: Reading {
        var count = 0
        var atMost: [(bound: Double, count: Int)] = []
        for (index, bound) in bounds.enumerated() {
            count += counts[index].load(ordering: .relaxed)
            atMost.append((Double(bound) / unit, count))
        }
        count += counts[bounds.count].load(ordering: .relaxed)
        return Reading(atMost: atMost, count: count, sum: Double(total.load(ordering: .relaxed)) / unit)
    }
}

/// Counting by one thread at a time, without a locked instruction.
enum Counter {
    @inline(__always)
    static func add(_ amount: Int, to counter: borrowing Atomic<Int>) {
        counter.store(counter.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }
}
