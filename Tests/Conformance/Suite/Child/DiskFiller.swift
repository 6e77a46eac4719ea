import Foundation
import T4Protocols

/// Makes writes of an engine fail, as a full disk does, and sees what is left.
///
/// A limit on the size of files stands in for the disk: it needs no privilege, and it can be lifted again. The system
/// says EFBIG where a disk says ENOSPC, and cuts the write that crosses the limit short in the same way.
struct DiskFiller {
    let directory: String
    let workload: Workload
    let open: (String) throws -> any LocalEngine

    private static let batchesBefore: UInt64 = 4
    private static let batchesMax: UInt64 = 64
    private static let roomBytes = 256 << 10

    func run() throws {
        var engine = try open(directory)
        for index in 1...Self.batchesBefore { try workload.apply(index, to: engine) }
        try engine.sync()
        var held: (any EngineSnapshot)? = try engine.snapshot()
        let softLimit = try lowerLimit()

        var applied = Self.batchesBefore
        let (failure, operation) = try fill(engine, &applied)
        let durable = try engine.durablePosition.index
        try expect(
            failure.code == .noSpace || failure.code == .ioFailed,
            "\(operation) on a full disk: expected noSpace or ioFailed, saw \(failure.code) (\(failure))")
        try expectEqual(engine.appliedPosition, workload.position(applied), "applied position after \(failure)")
        try workload.check(engine.snapshot(), at: applied)
        if let held { try workload.check(held, at: Self.batchesBefore) }
        // The files are let go with the last snapshot.
        held = nil

        try setLimit(softLimit)
        if failure.code == .noSpace {
            // The engine says that it is usable, so it has to go on.
            try engine.sync()
            try workload.apply(applied + 1, to: engine)
            applied += 1
            try workload.check(engine.snapshot(), at: applied)
            try engine.close()
        } else {
            // What it could not write may make the close fail too; the files are let go all the same.
            do { try engine.close() } catch { try expect(error.code != .closed, "close: \(error)") }
        }

        engine = try open(directory)
        let found = try workload.check(engine)
        try expect(
            durable <= found && found <= applied,
            "opened at index \(found); \(durable) was durable and \(applied) applied")
        try workload.apply(found + 1, to: engine)
        try engine.sync()
        try engine.close()
    }

    /// Writes until it fails.
    private func fill(
        _ engine: any LocalEngine, _ applied: inout UInt64
    ) throws(RuleViolation) -> (EngineError, String) {
        while applied < Self.batchesMax {
            do { try workload.apply(applied + 1, to: engine) } catch { return (error, "apply") }
            applied += 1
            do { try engine.sync() } catch { return (error, "sync") }
        }
        throw RuleViolation("\(Self.batchesMax) batches were written though no file could grow by more than 256 KiB")
    }

    /// Lets no file grow much beyond the largest there is.
    /// - Returns: The limit before.
    private func lowerLimit() throws -> rlim_t {
        signal(SIGXFSZ, SIG_IGN)
        var largest = 0
        for name in try FileManager.default.subpathsOfDirectory(atPath: directory) {
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(directory)/\(name)")
            largest = max(largest, (attributes[.size] as? Int) ?? 0)
        }
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0 else {
            throw RuleViolation("getrlimit: \(String(cString: strerror(errno)))")
        }
        try setLimit(rlim_t(largest + Self.roomBytes))
        return limit.rlim_cur
    }

    private func setLimit(_ size: rlim_t) throws(RuleViolation) {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0 else {
            throw RuleViolation("getrlimit: \(String(cString: strerror(errno)))")
        }
        limit.rlim_cur = size
        guard setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0 else {
            throw RuleViolation("setrlimit: \(String(cString: strerror(errno)))")
        }
    }
}
