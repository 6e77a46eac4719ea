/// The newest versions of keys that have been decided but are not in the engine yet, above an engine snapshot.
///
/// Belongs to the commit thread. Groups are numbered; what a group decided is dropped once it has been applied.
package final class PendingState {
    private struct Version {
        /// Nil when the key is deleted.
        var record: StoredRecord?
        var group: UInt64
    }

    private var keys: [ByteKey: Version] = [:]
    private var groups: [(number: UInt64, keys: [ByteKey])] = []
    /// Living leases with their TTL, those included that are only decided.
    package private(set) var leases: [Int64: Int64] = [:]

    package init(leases: [LeaseRecord]) {
        for lease in leases { self.leases[lease.id] = lease.ttl }
    }

    /// What is known of a key: `.some(nil)` for a decided deletion, nil when the engine has to be asked.
    package func record(_ key: ByteKey) -> StoredRecord?? {
        keys[key].map(\.record)
    }

    /// Decided keys inside a selection, unordered.
    package func keys(where selected: ([UInt8]) -> Bool) -> [(key: [UInt8], record: StoredRecord?)] {
        keys.compactMap { key, version in selected(key.bytes) ? (key.bytes, version.record) : nil }
    }

    /// Decided keys that are attached to a lease.
    package func keys(leasedTo lease: Int64) -> [[UInt8]] {
        keys.compactMap { key, version in version.record?.lease == lease ? key.bytes : nil }
    }

    package var isEmpty: Bool { keys.isEmpty }

    /// Starts collecting the decisions of the next group.
    package func begin(group: UInt64) {
        groups.append((group, []))
    }

    package func set(_ key: ByteKey, _ record: StoredRecord?) {
        let last = groups.count - 1
        keys[key] = Version(record: record, group: groups[last].number)
        groups[last].keys.append(key)
    }

    package func grant(_ lease: LeaseRecord) { leases[lease.id] = lease.ttl }

    package func revoke(_ lease: Int64) { leases[lease] = nil }

    /// Forgets what is in the engine by now: everything decided by groups up to `applied`.
    package func drop(through applied: UInt64) {
        var done = 0
        while done < groups.count, groups[done].number <= applied {
            for key in groups[done].keys where (keys[key]?.group ?? .max) <= applied { keys[key] = nil }
            done += 1
        }
        groups.removeFirst(done)
    }
}
