import CLMDB

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A read transaction, and the cursor over `rows` that was last opened in it.
struct Reader {
    var transaction: OpaquePointer
    var cursor: OpaquePointer?
}

/// Read transactions between two uses, and the gate that lets the map grow only while none is in use.
///
/// A transaction that is reset keeps its slot in LMDB's reader table and is renewed for a fraction of what beginning one
/// costs.
///
/// Safe to share: everything mutable is touched under the lock, and LMDB promises for transactions made under
/// `MDB_NOTLS` that "a read-only transaction may span threads if the user synchronizes its use".
final class ReaderPool: @unchecked Sendable {
    private static let idleCountMax = 64

    private let environment: OpaquePointer
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var idle: [Reader] = []
    private var openCount = 0
    private var isGrowing = false

    init(environment: OpaquePointer) {
        self.environment = environment
        pthread_mutex_init(lock, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(changed, &attributes)
        pthread_condattr_destroy(&attributes)
        idle.reserveCapacity(ReaderPool.idleCountMax)
    }

    deinit {
        precondition(idle.isEmpty, "drain before the environment is closed")
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(lock)
        changed.deallocate()
        lock.deallocate()
    }

    /// Ends all transactions; none may be in use.
    func drain() {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        precondition(openCount == 0, "a snapshot keeps its environment alive")
        for reader in idle { ReaderPool.discard(reader) }
        idle.removeAll()
    }

    /// Starts a read transaction on the newest commit.
    func take() throws(LMDBFailure) -> Reader {
        pthread_mutex_lock(lock)
        while isGrowing { pthread_cond_wait(changed, lock) }
        openCount += 1
        let kept = idle.popLast()
        pthread_mutex_unlock(lock)
        do throws(LMDBFailure) {
            if let kept {
                try renew(kept)
                return kept
            }
            return try begin()
        } catch {
            leave(keeping: nil)
            throw error
        }
    }

    /// Ends a read transaction that `take` started.
    func give(_ reader: Reader) {
        mdb_txn_reset(reader.transaction)
        leave(keeping: reader)
    }

    /// Runs `change` while no read transaction is in use; new ones wait meanwhile.
    /// - Returns: False when open ones were not given back in time; `change` was then not called. The limit also ends
    ///   the wait of a thread that holds a snapshot while it applies a batch.
    func withoutReaders(
        waitSecondsMax: Int, _ change: () throws(LMDBFailure) -> Void
    ) throws(LMDBFailure) -> Bool {
        var deadline = timespec()
        clock_gettime(CLOCK_MONOTONIC, &deadline)
        deadline.tv_sec += waitSecondsMax
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        while isGrowing { pthread_cond_wait(changed, lock) }
        isGrowing = true
        defer {
            isGrowing = false
            pthread_cond_broadcast(changed)
        }
        while openCount > 0 {
            if pthread_cond_timedwait(changed, lock, &deadline) == ETIMEDOUT, openCount > 0 { return false }
        }
        for reader in idle { ReaderPool.discard(reader) }
        idle.removeAll(keepingCapacity: true)
        try change()
        return true
    }

    private func begin() throws(LMDBFailure) -> Reader {
        var transaction: OpaquePointer?
        var code = mdb_txn_begin(environment, nil, UInt32(MDB_RDONLY), &transaction)
        if code == MDB_READERS_FULL {
            // Slots of processes that died without letting them go.
            var freed: Int32 = 0
            try check("mdb_reader_check", mdb_reader_check(environment, &freed))
            if freed > 0 { code = mdb_txn_begin(environment, nil, UInt32(MDB_RDONLY), &transaction) }
        }
        try check("mdb_txn_begin", code)
        return Reader(transaction: transaction!, cursor: nil)
    }

    private func renew(_ reader: Reader) throws(LMDBFailure) {
        let code = mdb_txn_renew(reader.transaction)
        if code != MDB_SUCCESS {
            ReaderPool.discard(reader)
            throw LMDBFailure(code: code, operation: "mdb_txn_renew")
        }
    }

    private func leave(keeping reader: Reader?) {
        pthread_mutex_lock(lock)
        if let reader {
            if idle.count < ReaderPool.idleCountMax { idle.append(reader) } else { ReaderPool.discard(reader) }
        }
        openCount -= 1
        if isGrowing, openCount == 0 { pthread_cond_broadcast(changed) }
        pthread_mutex_unlock(lock)
    }

    private static func discard(_ reader: Reader) {
        if let cursor = reader.cursor { mdb_cursor_close(cursor) }
        mdb_txn_abort(reader.transaction)
    }
}
