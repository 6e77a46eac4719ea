import T4Protocols

/// Settings of the `leveldb` engine, `[engine.leveldb]`.
///
/// The defaults suit a machine with 2 cores and 4 GB that the node shares with others: about 200 MiB of memory.
public struct LevelDBSettings: Decodable, Sendable {
    /// How LevelDB stores a block.
    public enum Compression: String, Decodable, Sendable, CaseIterable {
        /// As it is.
        case none
        /// With Snappy, where that saves at least an eighth.
        case snappy
    }

    /// Memory for uncompressed blocks that were read, in bytes; 1 MiB ... 1 TiB. `cache_size`, default 128 MiB.
    public var cacheSizeBytes = 128 << 20
    /// Memory for changes before they become a table, in bytes; 64 KiB ... 1 GiB. `write_buffer_size`, default 32 MiB.
    ///
    /// Taken twice while a full buffer is being written out. LevelDB's own log grows to the same size, and is read again
    /// at the next start.
    public var writeBufferSizeBytes = 32 << 20
    /// Size of the pieces that tables are read in, before compression, in bytes; 1 KiB ... 4 MiB. `block_size`, default
    /// 4 KiB.
    public var blockSizeBytes = 4 << 10
    /// Tables that are kept open, and a few other files; 74 ... 50 000. `max_open_files`, default 1000.
    ///
    /// LevelDB maps the first 1000 tables into memory, which takes no descriptor.
    public var openFilesMax = 1000
    /// Bits for each key in the filters that spare reads of absent keys; 0 (no filters) ... 32. `bloom_bits`, default 10.
    public var bloomBits = 10
    /// `compression`, default snappy. Takes effect as tables are written; both kinds can be read at any time.
    public var compression = Compression.snappy

    /// The defaults.
    public init() {}

    private enum CodingKeys: String, CodingKey {
        case cacheSizeBytes = "cache_size"
        case writeBufferSizeBytes = "write_buffer_size"
        case blockSizeBytes = "block_size"
        case openFilesMax = "max_open_files"
        case bloomBits = "bloom_bits"
        case compression
    }

    /// Reads the keys that are there; sizes are integers (bytes) or strings such as `"64MiB"`.
    /// - Throws: `DecodingError` that says which value is out of range, not a size or not a kind of compression.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        try values.read(&cacheSizeBytes, .cacheSizeBytes, sizeIn: (1 << 20)...(1 << 40))
        try values.read(&writeBufferSizeBytes, .writeBufferSizeBytes, sizeIn: (64 << 10)...(1 << 30))
        try values.read(&blockSizeBytes, .blockSizeBytes, sizeIn: (1 << 10)...(4 << 20))
        try values.read(&openFilesMax, .openFilesMax, in: 74...50_000)
        try values.read(&bloomBits, .bloomBits, in: 0...32)
        try values.read(&compression, oneOf: .compression)
    }
}
