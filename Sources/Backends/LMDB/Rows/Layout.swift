/// How rows lie in the data file (`data.mdb`), version 1.
///
/// ```
/// unnamed database
///   "format"     "t4 lmdb engine 1"
///   "position"   term (8 bytes), index (8 bytes): written in the transaction of each batch
///   "next-tail"  number of the next tail group (8 bytes); absent before the first
///   "loading"    there while a bulk load is under way; found at open, the load was cut off
///   "rows", "tails"   the two databases below
/// rows
///   key of 1...510 bytes                  the value
///   first 511 bytes of longer keys        number of their tail group (8 bytes)
/// tails: group number (8 bytes), then
///   what is left of the key, 0...502 bytes         the value
///   next 503 bytes of keys with more than 502 left  number of the next tail group (8 bytes)
/// ```
///
/// LMDB keys end at 511 bytes in every usual build. Longer keys are cut up, and keys that share a piece share the
/// group that holds what follows it. In both databases a key of exactly 511 bytes leads to a group and any shorter one
/// to a value, so common keys carry no mark. Byte order is kept: no value lies under a key of 511 bytes, hence every
/// other key differs from one within its length, or is a prefix of it and sorts first.
///
/// All numbers are big-endian. Version history: 1, the first.
enum Layout {
    static let format = Array("t4 lmdb engine 1".utf8)
    static let formatKey = Array("format".utf8)
    static let positionKey = Array("position".utf8)
    static let nextTailKey = Array("next-tail".utf8)
    static let loadingKey = Array("loading".utf8)
    static let rowsName = "rows"
    static let tailsName = "tails"

    /// Bytes of an LMDB key that leads to a tail group; the largest that LMDB takes.
    static let headSizeBytes = 511
    /// Bytes of a group number, which start each key in `tails`.
    static let groupSizeBytes = 8
}
