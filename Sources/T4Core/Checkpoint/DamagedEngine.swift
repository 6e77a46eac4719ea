import T4Protocols

/// The rows of an engine are not what they must be: nothing may be made from them.
package struct DamagedEngine: Error, Sendable, CustomStringConvertible {
    /// What is wrong, and where.
    let what: String
    package private(set) var description: String

    init(_ what: String) {
        self.what = what
        description =
            "the engine in the data directory is damaged: \(what). Stop the node, move its data directory away, and start "
            + "it with an empty one, which is filled from the object store"
    }

    /// The same where the newest checkpoint is of no use either.
    func adding(_ loss: (any Error)?) -> DamagedEngine {
        guard let loss else { return self }
        var both = self
        both.description += ". The newest checkpoint is damaged as well: \(loss)"
        return both
    }
}

extension EngineState {
    /// Has all rows read, and compares what they add up to with what the state says.
    /// - Parameter read: Takes every row that there is.
    /// - Throws: `DamagedEngine` when the engine cannot read them, or they are others; what `read` throws.
    func verify(_ read: (any TableRows) throws -> Void) throws {
        let sum = StateSum()
        do {
            try read(SummedRows(SnapshotTableRows(snapshot), sum))
        } catch let error as EngineError where error.code == .corrupted {
            throw DamagedEngine("\(error)")
        }
        if let difference = sum.difference(from: meta) {
            throw DamagedEngine("its rows at entry \(position) do not add up to their digest: \(difference)")
        }
    }
}
