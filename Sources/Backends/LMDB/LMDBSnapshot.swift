import CLMDB
import T4Protocols

/// A read transaction of an `LMDBEngine`, given back to the pool with the last reference.
///
/// Safe to share: LMDB promises that under `MDB_NOTLS` "a read-only transaction may span threads if the user
/// synchronizes its use", and `EngineSnapshot` is used by one thread at a time.
final class LMDBSnapshot: EngineSnapshot, @unchecked Sendable {
    private let environment: Environment
    private let transaction: OpaquePointer
    /// The cursor that the next scan uses; nil before the first and while a scan runs.
    private var cursor: OpaquePointer?
    /// The cursor was opened for, or renewed in, this transaction.
    private var isCursorFresh = false

    init(_ environment: Environment) throws(EngineError) {
        do throws(LMDBFailure) {
            let reader = try environment.takeReader()
            transaction = reader.transaction
            cursor = reader.cursor
        } catch {
            throw EngineError(error, file: environment.file)
        }
        self.environment = environment
    }

    deinit { environment.readers.give(Reader(transaction: transaction, cursor: cursor)) }

    func read(_ key: RawSpan, visit: (RawSpan) -> Void) throws(EngineError) -> Bool {
        let rows = RowReader(transaction: transaction, tables: environment.tables)
        return try key.withUnsafeBytes { (key) throws(EngineError) in
            do throws(LMDBFailure) {
                guard let value = try rows.value(for: key) else { return false }
                visit(value.bytes)
                return true
            } catch {
                throw EngineError(error, file: environment.file)
            }
        }
    }

    func scan(
        _ range: KeyRange, order: ScanOrder, visit: (RawSpan, RawSpan) -> ScanStep
    ) throws(EngineError) {
        if let upper = range.upper, !range.lower.lexicographicallyPrecedes(upper) { return }
        do throws(LMDBFailure) {
            let cursor = try takeCursor()
            defer { giveCursor(cursor) }
            let rows = RowReader(transaction: transaction, tables: environment.tables)
            try range.lower.lend { (lower) throws(LMDBFailure) in
                guard let upper = range.upper else {
                    _ = try rows.scan(ScanLevel(), with: cursor, from: lower, to: nil, order, visit)
                    return
                }
                try upper.lend { (upper) throws(LMDBFailure) in
                    _ = try rows.scan(ScanLevel(), with: cursor, from: lower, to: upper, order, visit)
                }
            }
        } catch {
            throw EngineError(error, file: environment.file)
        }
    }

    private func takeCursor() throws(LMDBFailure) -> OpaquePointer {
        if let kept = cursor {
            cursor = nil
            if !isCursorFresh {
                let code = mdb_cursor_renew(transaction, kept)
                if code != MDB_SUCCESS {
                    mdb_cursor_close(kept)
                    throw LMDBFailure(code: code, operation: "mdb_cursor_renew")
                }
            }
            isCursorFresh = true
            return kept
        }
        var opened: OpaquePointer?
        try check("mdb_cursor_open", mdb_cursor_open(transaction, environment.tables.rows, &opened))
        return opened!
    }

    private func giveCursor(_ used: OpaquePointer) {
        if cursor == nil {
            cursor = used
            isCursorFresh = true
        } else {
            mdb_cursor_close(used)
        }
    }
}
