import T4Protocols

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
        try state.verify { try builder.begin($0) }
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
