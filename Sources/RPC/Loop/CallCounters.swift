import Synchronization

/// For each method of a server, how many calls began on one event loop and how they ended: written by the loop alone, read
/// by anyone.
final class CallCounters: @unchecked Sendable {
    // Unchecked: the memory that the pointer names holds atomics and nothing else.

    static let codeCount = RPCStatus.Code.allCases.count

    private let methodCount: Int
    private let numbers: UnsafeMutablePointer<Atomic<Int>>

    init(methodCount: Int) {
        self.methodCount = methodCount
        numbers = .allocate(capacity: methodCount * (1 + Self.codeCount))
        for index in 0..<methodCount * (1 + Self.codeCount) { (numbers + index).initialize(to: Atomic(0)) }
    }

    deinit {
        numbers.deinitialize(count: methodCount * (1 + Self.codeCount))
        numbers.deallocate()
    }

    @inline(__always)
    func began(_ method: ServerMethod) { count(method.index * (1 + Self.codeCount)) }

    @inline(__always)
    func ended(_ method: ServerMethod, _ code: RPCStatus.Code) {
        count(method.index * (1 + Self.codeCount) + 1 + Int(code.rawValue))
    }

    @inline(__always)
    private func count(_ index: Int) {
        // A call that hears of no method is counted nowhere.
        guard index < methodCount * (1 + Self.codeCount) else { return }
        LoopCounters.add(1, to: numbers[index])
    }

    /// Calls of a method that began, and those that ended with each code, by its number.
    func counts(ofMethod index: Int) -> (began: Int, ended: [Int]) {
        let base = index * (1 + Self.codeCount)
        return (
            numbers[base].load(ordering: .relaxed),
            (0..<Self.codeCount).map { numbers[base + 1 + $0].load(ordering: .relaxed) }
        )
    }
}
