import Synchronization
import T4Core

/// Refuses logins of a user after too many wrong passwords, whether there is such a user or not. In memory: a restart
/// forgets, and it takes rights to make one.
final class LoginGuard: Sendable {
    private struct Record {
        /// When logins failed, the last ones.
        var failures: [Duration] = []
        var lockedUntil: Duration?
    }

    /// So many failures
    static let failuresMax = 5
    /// within this time
    static let window = Duration.seconds(300)
    /// lock the user for this time.
    static let lockout = Duration.seconds(900)
    /// Names that are remembered; the oldest failures are forgotten beyond it.
    private static let recordsMax = 100_000

    private let clock: any ElapsedClock
    /// By the SHA-256 of the name, so that long names take no memory.
    private let records = Mutex<[[UInt8]: Record]>([:])

    init(clock: any ElapsedClock = BootClock()) { self.clock = clock }

    func isLocked(_ user: [UInt8]) -> Bool {
        let (name, now) = (LoginGuard.key(user), clock.now)
        return records.withLock { records in
            guard let end = records[name]?.lockedUntil else { return false }
            if now < end { return true }
            records[name] = nil
            return false
        }
    }

    /// - Returns: True when this failure locks the user.
    func failed(_ user: [UInt8]) -> Bool {
        let (name, now) = (LoginGuard.key(user), clock.now)
        return records.withLock { records in
            if records[name] == nil, records.count >= LoginGuard.recordsMax { LoginGuard.forget(&records, now) }
            var record = records[name] ?? Record()
            guard record.lockedUntil == nil else { return false }
            record.failures.removeAll { now - $0 >= LoginGuard.window }
            record.failures.append(now)
            if record.failures.count >= LoginGuard.failuresMax {
                record = Record(lockedUntil: now + LoginGuard.lockout)
            }
            records[name] = record
            return record.lockedUntil != nil
        }
    }

    func succeeded(_ user: [UInt8]) {
        let name = LoginGuard.key(user)
        records.withLock { $0[name] = nil }
    }

    /// Forgets what has no effect any more; if that is too little, the half whose failures are oldest.
    private static func forget(_ records: inout [[UInt8]: Record], _ now: Duration) {
        func isSpent(_ record: Record) -> Bool {
            if let end = record.lockedUntil { return now >= end }
            return record.failures.last.map { now - $0 >= window } ?? true
        }
        records = records.filter { !isSpent($0.value) }
        guard records.count >= recordsMax else { return }
        let open = records.filter { $0.value.lockedUntil == nil }
        let byAge = open.sorted { ($0.value.failures.last ?? .zero) < ($1.value.failures.last ?? .zero) }
        for (name, _) in byAge.prefix(recordsMax / 2) { records[name] = nil }
    }

    private static func key(_ user: [UInt8]) -> [UInt8] { SHA256.digest(of: user.span.bytes) }
}
