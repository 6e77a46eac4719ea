package import T4Protocols

/// A view of an engine that passes every call on to another one, but for those that it implements itself.
package protocol SnapshotWrapper: EngineSnapshot {
    /// The view below.
    var base: any EngineSnapshot { get }
}

extension SnapshotWrapper {
    package func read(_ key: RawSpan, visit: (RawSpan) -> Void) throws(EngineError) -> Bool {
        try base.read(key, visit: visit)
    }

    package func scan(
        _ range: KeyRange, order: ScanOrder, visit: (RawSpan, RawSpan) -> ScanStep
    ) throws(EngineError) {
        try base.scan(range, order: order, visit: visit)
    }
}
