import CLMDB
import T4Protocols

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A return code of LMDB (negative) or of the system (an errno).
struct LMDBFailure: Error {
    var code: Int32
    var operation: StaticString
}

/// Turns LMDB's error convention into Swift's.
@inline(__always)
func check(_ operation: StaticString, _ code: Int32) throws(LMDBFailure) {
    if code != MDB_SUCCESS { throw LMDBFailure(code: code, operation: operation) }
}

/// As `check`, with false for a missing key.
@inline(__always)
func find(_ operation: StaticString, _ code: Int32) throws(LMDBFailure) -> Bool {
    if code == MDB_SUCCESS { return true }
    if code == MDB_NOTFOUND { return false }
    throw LMDBFailure(code: code, operation: operation)
}

extension EngineError {
    /// Says what a caller can do about a failure.
    init(_ failure: LMDBFailure, file: String) {
        let reason = String(cString: mdb_strerror(failure.code))
        let place = "\(failure.operation) on \(file): \(reason)"
        switch failure.code {
        case MDB_MAP_FULL:
            self.init(.noSpace, "\(place); raise map_size_max of [engine.lmdb]")
        case MDB_READERS_FULL:
            self.init(.noSpace, "\(place); too many open snapshots, raise max_readers of [engine.lmdb]")
        case MDB_TXN_FULL:
            self.init(.noSpace, "\(place); the batch is too large for one transaction")
        case ENOSPC, EDQUOT, EFBIG:
            self.init(.noSpace, "\(place); free some disk space")
        case MDB_CORRUPTED, MDB_PAGE_NOTFOUND, MDB_INVALID, MDB_PAGE_FULL, MDB_CURSOR_FULL, MDB_INCOMPATIBLE,
            MDB_VERSION_MISMATCH:
            self.init(.corrupted, "\(place); the engine must be rebuilt from checkpoint and log")
        case ENOMEM:
            self.init(.ioFailed, "\(place); not enough address space, lower map_size_initial of [engine.lmdb]")
        default:
            self.init(.ioFailed, place)
        }
    }
}
