import Synchronization

/// For each method of a server, how many calls began on one event loop, how they ended and how long they took: written by
/// the loop alone, read by anyone.
final class CallCounters: @unchecked Sendable {
    // Unchecked: the memory that the pointer names holds atomics and nothing else.

    static let codeCount = RPCStatus.Code.allCases.count
    /// Upper bounds of the classes of times, in nanoseconds: those that Prometheus has by default, and some for calls that are
    /// as fast as most are here.
    static let bounds: [Int64] =
        [
            100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
            5_000_000, 10_000_000,
        ].map { $0 * 1_000 }

    /// Calls of one method.
    struct Counts {
        var began = 0
        /// By the number of the code.
        var ended = [Int](repeating: 0, count: codeCount)
        /// Those that ended, by class of their time; the last class has no bound.
        var times = [Int](repeating: 0, count: bounds.count + 1)
        var nanoseconds = 0

        mutating func add(_ other: Counts) {
            began += other.began
            nanoseconds += other.nanoseconds
            for index in ended.indices { ended[index] += other.ended[index] }
            for index in times.indices { times[index] += other.times[index] }
        }
    }

    // The numbers of a method: how many began, how many ended with each code, how many in each class of time, time in all.
    private static let timesOffset = 1 + codeCount
    private static let sumOffset = timesOffset + bounds.count + 1
    private static let stride = sumOffset + 1

    private let methodCount: Int
    private let bounds = CallCounters.bounds
    private let numbers: UnsafeMutablePointer<Atomic<Int>>

    init(methodCount: Int) {
        self.methodCount = methodCount
        numbers = .allocate(capacity: methodCount * Self.stride)
        for index in 0..<methodCount * Self.stride { (numbers + index).initialize(to: Atomic(0)) }
    }

    deinit {
        numbers.deinitialize(count: methodCount * Self.stride)
        numbers.deallocate()
    }

    @inline(__always)
    func began(_ method: ServerMethod) {
        guard method.index < methodCount else { return }
        LoopCounters.add(1, to: numbers[method.index * Self.stride])
    }

    /// - Parameter time: From the arrival of its headers on, in nanoseconds.
    @inline(__always)
    func ended(_ method: ServerMethod, _ code: RPCStatus.Code, after time: Int64) {
        // A call that hears of no method is counted nowhere.
        guard method.index < methodCount else { return }
        let base = method.index * Self.stride
        LoopCounters.add(1, to: numbers[base + 1 + Int(code.rawValue)])
        var index = 0
        while index < bounds.count, time > bounds[index] { index += 1 }
        LoopCounters.add(1, to: numbers[base + Self.timesOffset + index])
        LoopCounters.add(Int(time), to: numbers[base + Self.sumOffset])
    }

    func counts(ofMethod index: Int) -> Counts {
        func number(_ offset: Int) -> Int { numbers[index * Self.stride + offset].load(ordering: .relaxed) }
        return Counts(
            began: number(0), ended: (0..<Self.codeCount).map { number(1 + $0) },
            times: (0...Self.bounds.count).map { number(Self.timesOffset + $0) }, nanoseconds: number(Self.sumOffset))
    }
}
