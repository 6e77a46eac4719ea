package import T4Protocols

/// How rows of the five keyspaces are named in the engine: one leading byte each, so that keys order as bytes.
///
/// | space | key after the byte | value |
/// |---|---|---|
/// | current | user key | `StoredRecord` |
/// | history | escaped user key, inverted revision | `StoredRecord`, a tombstone for a deletion |
/// | changes | revision, sub-revision | `ChangeRow` |
/// | leased | lease id, user key | empty |
/// | system | name | see `SystemRow` |
///
/// The escape keeps order and makes the end of a key visible: 00 becomes 00 FF, and 00 01 ends the key (the scheme of
/// FoundationDB's tuple layer). Integers are big-endian.
package enum Keyspace {
    package static let current: UInt8 = 1
    package static let history: UInt8 = 2
    package static let changes: UInt8 = 3
    package static let leased: UInt8 = 4
    package static let system: UInt8 = 5

    /// Longest user key, in bytes, so that its escaped form fits every engine.
    package static let userKeyBytesMax = 32 * 1024

    @inline(__always)
    package static func appendCurrent(_ key: [UInt8], to bytes: inout [UInt8]) {
        bytes.append(current)
        bytes.append(contentsOf: key)
    }

    package static func currentKey(_ key: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(key.count + 1)
        appendCurrent(key, to: &bytes)
        return bytes
    }

    /// The name under which the version of `key` written at `revision` is kept.
    package static func appendHistory(_ key: [UInt8], _ revision: Revision, to bytes: inout [UInt8]) {
        appendHistoryPrefix(key, to: &bytes)
        bytes.append(bigEndian: ~UInt64(bitPattern: revision.rawValue))
    }

    package static func historyKey(_ key: [UInt8], _ revision: Revision) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(key.count + 16)
        appendHistory(key, revision, to: &bytes)
        return bytes
    }

    /// What the names of all versions of `key` start with.
    package static func appendHistoryPrefix(_ key: [UInt8], to bytes: inout [UInt8]) {
        bytes.append(history)
        for byte in key {
            bytes.append(byte)
            if byte == 0 { bytes.append(0xFF) }
        }
        bytes.append(0)
        bytes.append(1)
    }

    package static func historyPrefix(_ key: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(key.count + 16)
        appendHistoryPrefix(key, to: &bytes)
        return bytes
    }

    /// The user key and revision of a history row's name.
    package static func parseHistory(_ name: RawSpan) -> (key: [UInt8], revision: Revision) {
        let end = name.byteCount - 8
        let revision = Revision(Int64(bitPattern: ~name.bigEndian(at: end, as: UInt64.self)))
        var key: [UInt8] = []
        name.withUnsafeBytes { raw in
            let escaped = UnsafeRawBufferPointer(rebasing: raw[1..<end - 2])
            if !escaped.contains(0) {
                key = Array(escaped)
                return
            }
            key.reserveCapacity(escaped.count)
            var offset = 1
            while offset < end - 2 {
                key.append(raw[offset])
                offset += raw[offset] == 0 ? 2 : 1
            }
        }
        return (key, revision)
    }

    @inline(__always)
    package static func appendChange(_ revision: Revision, sub: UInt32, to bytes: inout [UInt8]) {
        bytes.append(changes)
        bytes.append(bigEndian: revision.rawValue)
        bytes.append(bigEndian: sub)
    }

    package static func changeKey(_ revision: Revision, sub: UInt32 = 0) -> [UInt8] {
        var bytes: [UInt8] = []
        appendChange(revision, sub: sub, to: &bytes)
        return bytes
    }

    /// The changes from `first` to `last`, both included.
    package static func changes(from first: Revision, through last: Revision) -> KeyRange {
        KeyRange(lower: changeKey(first), upper: changeKey(last.next))
    }

    package static func leasedKey(_ lease: Int64, _ key: [UInt8]) -> [UInt8] {
        var bytes = leasedPrefix(lease)
        bytes.append(contentsOf: key)
        return bytes
    }

    package static func leasedPrefix(_ lease: Int64) -> [UInt8] {
        var bytes: [UInt8] = [leased]
        bytes.append(bigEndian: lease)
        return bytes
    }

    /// The part of `space` (`current` or `history`) that holds the user keys of `range`.
    package static func range(_ range: KeyRange, in space: UInt8) -> KeyRange {
        if space == history {
            return KeyRange(
                lower: range.lower.isEmpty ? [history] : historyPrefix(range.lower),
                upper: range.upper.map(historyPrefix) ?? [history + 1])
        }
        return KeyRange(
            lower: [space] + range.lower,
            upper: range.upper.map { [space] + $0 } ?? [space + 1])
    }
}

/// Names in the system keyspace.
package enum SystemRow {
    /// Revision and compacted revision, 8 bytes each.
    package static let meta: [UInt8] = [Keyspace.system, UInt8(ascii: "m")]

    /// A granted lease: 8 bytes of seconds.
    package static func lease(_ id: Int64) -> [UInt8] {
        var bytes = leases
        bytes.append(bigEndian: id)
        return bytes
    }

    /// What the names of all leases start with.
    package static let leases: [UInt8] = [Keyspace.system, UInt8(ascii: "l")]

    /// A raised alarm: no value, the name says all.
    package static func alarm(_ alarm: Alarm) -> [UInt8] {
        var bytes = alarms
        bytes.append(alarm.kind.rawValue)
        bytes.append(bigEndian: alarm.member)
        return bytes
    }

    /// What the names of all alarms start with.
    package static let alarms: [UInt8] = [Keyspace.system, UInt8(ascii: "a")]
}

/// etcd's way to name keys: one, a range, all from a key, or all.
package enum KeySelection: Sendable {
    case single([UInt8])
    case range(KeyRange)

    /// Reads `key` and `range_end` as etcd does; an end at or before the key makes an empty range.
    package init(key: [UInt8], rangeEnd: [UInt8]) {
        if rangeEnd.isEmpty {
            self = .single(key)
        } else if rangeEnd == [0] {
            self = .range(KeyRange(lower: key == [0] ? [] : key, upper: nil))
        } else {
            self = .range(KeyRange(lower: key, upper: rangeEnd))
        }
    }

    /// True when `key` is meant.
    package func contains(_ key: [UInt8]) -> Bool {
        switch self {
        case .single(let single): return single == key
        case .range(let range):
            guard !key.lexicographicallyPrecedes(range.lower) else { return false }
            return range.upper.map { key.lexicographicallyPrecedes($0) } ?? true
        }
    }
}
