import T4Core
import T4Protocols

/// A row as an engine has it.
struct EngineRow: Hashable {
    var name: [UInt8]
    var value: [UInt8]
}

/// All rows of an engine.
func dump(_ snapshot: any EngineSnapshot) throws -> [EngineRow] {
    var rows: [EngineRow] = []
    try snapshot.scan(.all, order: .ascending) { name, value in
        rows.append(EngineRow(name: name.copyBytes(), value: value.copyBytes()))
        return .next
    }
    return rows
}

/// What the meta row among all rows must say: the sum over the current and system rows, and the number of keys.
func digest(of rows: [EngineRow]) -> (digest: StateDigest, keys: UInt64) {
    var digest = StateDigest()
    var keys: UInt64 = 0
    for row in rows where row.name != SystemRow.meta {
        guard row.name[0] == Keyspace.current || row.name[0] == Keyspace.system else { continue }
        if row.name[0] == Keyspace.current { keys += 1 }
        digest.add(name: row.name, value: row.value)
    }
    return (digest, keys)
}
