public import T4Protocols

/// Which calls of a `FaultyEngine` fail.
public struct FaultPlan: Hashable, Sendable {
    /// A call that can be made to fail.
    public enum Operation: Hashable, Sendable, CaseIterable {
        /// `LocalEngine.apply`
        case apply
        /// `LocalEngine.sync`
        case sync
        /// `LocalEngine.snapshot`
        case snapshot
        /// `LocalEngine.bulkLoad`
        case bulkLoad
    }

    /// When a call fails.
    public enum Moment: Hashable, Sendable, CaseIterable {
        /// Nothing has happened.
        case beforeEffect
        /// The engine below has done all of it; only the answer is lost.
        case afterEffect
    }

    /// Calls that fail.
    public struct Fault: Hashable, Sendable {
        /// What fails.
        public var operation: Operation
        /// Numbers of the calls of that operation that fail; the first is 1.
        public var calls: ClosedRange<Int>
        /// Whether the effect comes first.
        public var moment: Moment
        /// What is thrown.
        public var code: EngineError.Code

        /// Describes calls that fail.
        public init(
            _ operation: Operation, calls: ClosedRange<Int>, _ moment: Moment = .beforeEffect,
            code: EngineError.Code = .ioFailed
        ) {
            self.operation = operation
            self.calls = calls
            self.moment = moment
            self.code = code
        }
    }

    /// The faults; where two are about one call, the first counts.
    public var faults: [Fault]

    /// No call fails.
    public static let none = FaultPlan([])

    /// Fails the calls that are named.
    public init(_ faults: [Fault]) { self.faults = faults }

    /// Fails single calls that the seed chooses.
    /// - Parameters:
    ///   - count: Number of faults; two may be about the same call.
    ///   - operations: What may fail; not empty.
    ///   - calls: Numbers that the failing calls are drawn from.
    public init(
        seed: UInt64, count: Int, operations: [Operation] = Operation.allCases, calls: ClosedRange<Int>,
        code: EngineError.Code = .ioFailed
    ) {
        precondition(!operations.isEmpty, "a fault needs an operation")
        var generator = SeededGenerator(seed: seed)
        faults = (0..<count).map { _ in
            let operation = operations[Int.random(in: 0..<operations.count, using: &generator)]
            let call = Int.random(in: calls, using: &generator)
            let moment = Bool.random(using: &generator) ? Moment.beforeEffect : .afterEffect
            return Fault(operation, calls: call...call, moment, code: code)
        }
    }

    /// The fault of the call with that number, if any.
    func fault(of operation: Operation, call: Int) -> Fault? {
        faults.first { $0.operation == operation && $0.calls.contains(call) }
    }
}
