package import T4Protocols

/// Hashes of the state, equal on all nodes with equal history whatever the engine.
package enum StateHash {
    /// Covers every version up to `revision` that a reader can see at or after the compacted revision: key, numbers
    /// and value.
    ///
    /// A sum of row hashes (Fowler-Noll-Vo 1a, 64 bits), so that neither the keyspace a version stands in nor the
    /// progress of the removal of compacted rows shows. That of an empty state is not 0, which clients would take for none.
    package static func hash(_ reader: StateReader, through revision: Revision) throws(EngineError) -> UInt32 {
        let compacted = reader.meta.compacted
        var sum = offset
        var prefix: [UInt8] = []
        var key: [UInt8] = []
        var left = VersionsLeft(compacted: compacted)
        var failure: EngineError?
        try reader.snapshot.scan(Keyspace.range(.all, in: Keyspace.history), order: .ascending) { name, row in
            let header = RecordHeader(row)
            let rowPrefix = name.extracting(droppingLast: 8)
            do throws(EngineError) {
                if !prefix.isEqual(to: rowPrefix) {
                    prefix = rowPrefix.copyBytes()
                    key = Keyspace.parseHistory(name).key
                    left = VersionsLeft(compacted: compacted)
                    if let latest = try reader.latest(key) { _ = left.contains(latest.mod, isTombstone: false) }
                }
            } catch {
                failure = error
                return .stop
            }
            let isLeft = left.contains(header.mod, isTombstone: header.isTombstone)
            if isLeft, header.mod <= revision { sum &+= rowHash(key.span.bytes, row) }
            return .next
        }
        if let failure { throw failure }
        try reader.snapshot.scan(Keyspace.range(.all, in: Keyspace.current), order: .ascending) { name, row in
            if RecordHeader(row).mod <= revision { sum &+= rowHash(name.extracting(droppingFirst: 1), row) }
            return .next
        }
        return UInt32(truncatingIfNeeded: sum ^ (sum >> 32))
    }

    /// What the hash begins with.
    private static let offset: UInt64 = 0xCBF2_9CE4_8422_2325

    private static func rowHash(_ key: RawSpan, _ row: RawSpan) -> UInt64 {
        var state = offset
        func add(_ bytes: RawSpan) {
            bytes.withUnsafeBytes { raw in
                for byte in raw { state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
            }
            state = (state ^ UInt64(bytes.byteCount)) &* 0x0000_0100_0000_01B3
        }
        add(key)
        add(row)
        return state
    }
}
