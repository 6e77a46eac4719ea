package import T4Protocols

/// An engine that passes every call on to another one, but for those that it implements itself.
package protocol EngineWrapper: LocalEngine {
    /// The engine below.
    var base: any LocalEngine { get }
}

extension EngineWrapper {
    package var capabilities: EngineCapabilities { base.capabilities }
    package var appliedPosition: LogPosition { get throws(EngineError) { try base.appliedPosition } }
    package var durablePosition: LogPosition { get throws(EngineError) { try base.durablePosition } }

    package func snapshot() throws(EngineError) -> any EngineSnapshot { try base.snapshot() }
    package func apply(_ batch: WriteBatch, at position: LogPosition) throws(EngineError) {
        try base.apply(batch, at: position)
    }
    package func sync() throws(EngineError) { try base.sync() }
    package func bulkLoad(_ rows: inout some SortedRows, at position: LogPosition) throws(EngineError) {
        try base.bulkLoad(&rows, at: position)
    }
    package func sizeOnDisk() throws(EngineError) -> Int { try base.sizeOnDisk() }
    package func sizeInUse() throws(EngineError) -> Int { try base.sizeInUse() }
    package func reclaimSpace() throws(EngineError) { try base.reclaimSpace() }
    package func close() throws(EngineError) { try base.close() }
}
