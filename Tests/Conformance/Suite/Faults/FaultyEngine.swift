import Synchronization
public import T4Protocols

/// An engine that passes every call on to another one, but for those that a plan makes fail.
public final class FaultyEngine: LocalEngine {
    private let base: any LocalEngine
    private let plan: FaultPlan
    private let calls = Mutex<[FaultPlan.Operation: Int]>([:])

    /// Wraps an engine.
    public init(_ base: any LocalEngine, plan: FaultPlan) {
        self.base = base
        self.plan = plan
    }

    /// Number of calls of an operation so far, failed ones included.
    public func callCount(_ operation: FaultPlan.Operation) -> Int { calls.withLock { $0[operation] ?? 0 } }

    /// Those of the engine below.
    public var capabilities: EngineCapabilities { base.capabilities }

    /// That of the engine below.
    public var appliedPosition: LogPosition { get throws(EngineError) { try base.appliedPosition } }

    /// That of the engine below.
    public var durablePosition: LogPosition { get throws(EngineError) { try base.durablePosition } }

    /// Takes a snapshot of the engine below.
    /// - Throws: As that engine and the plan.
    public func snapshot() throws(EngineError) -> any EngineSnapshot {
        try perform(.snapshot) { () throws(EngineError) in try base.snapshot() }
    }

    /// Applies a batch to the engine below.
    /// - Throws: As that engine and the plan.
    public func apply(_ batch: WriteBatch, at position: LogPosition) throws(EngineError) {
        try perform(.apply) { () throws(EngineError) in try base.apply(batch, at: position) }
    }

    /// Syncs the engine below.
    /// - Throws: As that engine and the plan.
    public func sync() throws(EngineError) {
        try perform(.sync) { () throws(EngineError) in try base.sync() }
    }

    /// Loads rows into the engine below.
    /// - Throws: As that engine and the plan.
    public func bulkLoad(_ rows: inout some SortedRows, at position: LogPosition) throws(EngineError) {
        let fault = nextFault(.bulkLoad)
        if let fault, fault.moment == .beforeEffect { throw error(fault) }
        try base.bulkLoad(&rows, at: position)
        if let fault { throw error(fault) }
    }

    /// That of the engine below.
    public func sizeOnDisk() throws(EngineError) -> Int { try base.sizeOnDisk() }

    /// That of the engine below.
    public func sizeInUse() throws(EngineError) -> Int { try base.sizeInUse() }

    /// Has the engine below do it.
    public func reclaimSpace() throws(EngineError) { try base.reclaimSpace() }

    /// Closes the engine below.
    public func close() throws(EngineError) { try base.close() }

    private func perform<R>(
        _ operation: FaultPlan.Operation, _ effect: () throws(EngineError) -> R
    ) throws(EngineError) -> R {
        let fault = nextFault(operation)
        if let fault, fault.moment == .beforeEffect { throw error(fault) }
        let result = try effect()
        if let fault { throw error(fault) }
        return result
    }

    /// Counts a call.
    private func nextFault(_ operation: FaultPlan.Operation) -> FaultPlan.Fault? {
        let call = calls.withLock { calls in
            calls[operation, default: 0] += 1
            return calls[operation, default: 0]
        }
        return plan.fault(of: operation, call: call)
    }

    private func error(_ fault: FaultPlan.Fault) -> EngineError {
        EngineError(fault.code, "\(fault.operation) fails by plan, \(fault.moment)")
    }
}
