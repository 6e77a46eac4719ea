import T4Protocols

/// The rows of an engine are not what they must be: nothing may be made from them.
package struct DamagedEngine: Error, Sendable, CustomStringConvertible {
    package private(set) var description: String

    /// - Parameter what: What is wrong, and where.
    init(_ what: String) {
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

/// The complete state of an engine after one entry, as tables in files. The view of the engine is not needed any more.
package struct StateTables {
    /// The last entry whose changes are in.
    let position: LogPosition
    let meta: MetaRow
    let cut: TableCut
    let tables: [Manifest.TableEntry]
    let files: TableFiles

    /// Writes the rows of a state into files. Waits for no store, so that the view is held as long as reading it takes.
    /// - Parameters:
    ///   - cut: How tables are cut; nil as those of a new database.
    ///   - isEnding: Asked before each table; what is there is worth nothing once it is true.
    /// - Throws: `DamagedEngine` when the rows do not add up to what the state says; `.interrupted` when there is no room
    ///   or `isEnding`.
    package init(
        of state: EngineState, cut: TableCut?, in files: TableFiles, isEnding: @escaping () -> Bool = { false }
    ) throws {
        var builder = CheckpointBuilder(
            previous: nil, index: state.position.index, compacted: state.meta.compacted, firstCut: cut,
            open: { throw CheckpointError(.invalidArgument, "table \($0.id) was never written") },
            put: { table in
                if isEnding() { throw CheckpointError.stopping }
                try files.put(table)
            })
        let sum = StateSum()
        do {
            try builder.begin(SummedRows(SnapshotTableRows(state.snapshot), sum))
        } catch let error as EngineError where error.code == .corrupted {
            throw DamagedEngine("\(error)")
        }
        guard sum.matches(state.meta) else {
            throw DamagedEngine("its rows at entry \(state.position) do not add up to their digest")
        }
        position = state.position
        meta = state.meta
        self.cut = builder.cut ?? TableCut(meanRowSize: CheckpointBuilder.usualRowSize)
        tables = builder.base
        self.files = files
    }
}

extension CheckpointError {
    /// Everything anew takes long, and a stop does not wait for it.
    static let stopping = CheckpointError(.interrupted, "the node is stopping")
}
