import T4Protocols

/// Rows that another thread reads, checks and merges while those before them are being used.
///
/// The thread stops at a bounded distance, and ends with this object.
final class RowsAhead: TableRows {
    private struct Batch: Sendable {
        var rows: [TableRow]
        /// Tables that had been read when it was complete.
        var tablesDone: Int
    }

    private struct State {
        var batches = FIFO<Batch>()
        /// How the rows behind the last batch end.
        var end: Result<Int, any Error>?
        var isStopping = false
    }

    /// Rows that make a batch, or fewer with more bytes.
    private static let rowCountMax = 1024
    private static let sizeMax = 1 << 20
    /// Batches that wait.
    private static let batchCountMax = 4

    private let state: Monitor<State>
    private let thread: SystemThread
    private let tablesDone: (Int) -> Void
    private var rows: ArraySlice<TableRow> = []
    private var isOver = false
    private var lastDone = 0

    /// - Parameters:
    ///   - makeRows: Called on the other thread; gives rows that call what they are given with each table.
    ///   - tablesDone: Called while rows are taken, with how many tables have been read.
    init(
        tablesDone: @escaping (Int) -> Void,
        makeRows: @escaping @Sendable (_ tableDone: @escaping () -> Void) throws -> any TableRows
    ) {
        let state = Monitor(State())
        self.state = state
        self.tablesDone = tablesDone
        thread = SystemThread(name: "t4-rows") {
            let end = Result { try RowsAhead.run(state, makeRows) }
            state.withLock { $0.end = end }
            state.broadcast()
        }
    }

    deinit {
        state.withLock { $0.isStopping = true }
        state.broadcast()
        thread.join()
    }

    func next() throws -> TableRow? {
        while true {
            if let row = rows.popFirst() { return row }
            if isOver { return nil }
            let next: Result<Batch, any Error>? = state.wait { state in
                if let batch = state.batches.popFirst() { return .success(batch) }
                return state.end.map { end in end.map { Batch(rows: [], tablesDone: $0) } }
            }
            state.broadcast()
            guard let batch = try next?.get() else { preconditionFailure("a wait ends with something") }
            isOver = batch.rows.isEmpty
            rows = batch.rows[...]
            if batch.tablesDone != lastDone { tablesDone(batch.tablesDone) }
            lastDone = batch.tablesDone
        }
    }

    /// The other thread.
    /// - Returns: Tables that were read.
    private static func run(
        _ state: Monitor<State>, _ makeRows: (_ tableDone: @escaping () -> Void) throws -> any TableRows
    ) throws -> Int {
        var count = 0
        var source = try makeRows { count += 1 }
        while true {
            var batch: [TableRow] = []
            batch.reserveCapacity(rowCountMax)
            var size = 0
            while batch.count < rowCountMax, size < sizeMax, let row = try source.next() {
                batch.append(row)
                size += row.name.count + row.value.count
            }
            if batch.isEmpty { return count }
            let full = Batch(rows: batch, tablesDone: count)
            let goesOn = state.wait { state -> Bool? in
                if state.isStopping { return false }
                if state.batches.count >= batchCountMax { return nil }
                state.batches.append(full)
                return true
            }
            guard goesOn else { return count }
            state.broadcast()
        }
    }
}
