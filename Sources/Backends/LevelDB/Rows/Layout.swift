/// How rows lie in LevelDB, version 1.
///
/// ```
/// 01 key         the value of a row
/// 02 "format"    "t4 leveldb engine 1"
/// 02 "loading"   there while a bulk load is under way; found at open, the load was cut off
/// 02 "position"  term (8 bytes), index (8 bytes): written in the batch of each change
/// ```
///
/// The position is overwritten with each batch, and LevelDB walks all stored versions of a key when an iterator goes
/// backwards over it. So it lies above the rows, with a record that never changes between them: no scan comes by it.
///
/// All numbers are big-endian. Version history: 1, the first.
enum Layout {
    static let rowPrefix: UInt8 = 1
    static let format = Array("t4 leveldb engine 1".utf8)
    static let formatKey = record("format")
    static let loadingKey = record("loading")
    static let positionKey = record("position")
    /// Above all rows, at or below all records.
    static let rowsEnd: [UInt8] = [2]
    /// Above everything.
    static let end: [UInt8] = [3]

    /// There once damage was found while the engine was open: LevelDB itself looks for little of it at open.
    static let damageName = "engine.damaged"

    private static func record(_ name: String) -> [UInt8] { rowsEnd + Array(name.utf8) }
}
