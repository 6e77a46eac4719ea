import T4Protocols

/// Settings of the `rocksdb` engine, `[engine.rocksdb]`.
///
/// The defaults are for a machine of 2 cores and 4 GB. The engine takes about `blockCacheSizeBytes` and
/// `writeBufferCount` times `writeBufferSizeBytes` of memory.
public struct RocksDBSettings: Decodable, Sendable {
    /// How blocks of rows are packed on disk.
    public enum Compression: String, Sendable, CaseIterable {
        /// Not at all.
        case none
        /// Fast, packs little.
        case snappy
        /// Fast, packs little better.
        case lz4
        /// Packs well, takes several times the processor time.
        case zstd
    }

    /// Memory for blocks of rows that were read, in bytes; 1 MiB ... 1 TiB. `block_cache_size`, default 256 MiB.
    public var blockCacheSizeBytes = 256 << 20
    /// Bytes of rows that are gathered in memory before they are written as one file; 1 MiB ... 4 GiB.
    /// `write_buffer_size`, default 64 MiB.
    ///
    /// What is in memory is read from the log again after a crash, so this bounds that work.
    public var writeBufferSizeBytes = 64 << 20
    /// Write buffers that may be in memory at once: one that fills and those being written; 2 ... 16.
    /// `write_buffer_count`, default 3.
    public var writeBufferCount = 3
    /// Threads that write buffers to disk and merge files; 2 ... 64. `max_background_jobs`, default 2.
    public var backgroundJobsMax = 2
    /// How blocks are packed; `compression`, default `"lz4"`. Files written before a change stay readable.
    public var compression = Compression.lz4
    /// Bits for each key of the filters that spare reads of absent keys, 0 for no filters; 0 ... 20. `bloom_bits`,
    /// default 10: one of a hundred such reads is in vain.
    public var bloomBits = 10
    /// Files kept open; 64 ... 1 000 000. `max_open_files`, default 512.
    public var openFilesMax = 512

    /// The defaults.
    public init() {}

    private enum CodingKeys: String, CodingKey {
        case blockCacheSizeBytes = "block_cache_size"
        case writeBufferSizeBytes = "write_buffer_size"
        case writeBufferCount = "write_buffer_count"
        case backgroundJobsMax = "max_background_jobs"
        case compression
        case bloomBits = "bloom_bits"
        case openFilesMax = "max_open_files"
    }

    /// Reads the keys that are there; sizes are integers (bytes) or strings such as `"64MiB"`.
    /// - Throws: `DecodingError` that says which value is out of range, not a size or not a compression.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        try values.read(&blockCacheSizeBytes, .blockCacheSizeBytes, sizeIn: (1 << 20)...(1 << 40))
        try values.read(&writeBufferSizeBytes, .writeBufferSizeBytes, sizeIn: (1 << 20)...(4 << 30))
        try values.read(&writeBufferCount, .writeBufferCount, in: 2...16)
        try values.read(&backgroundJobsMax, .backgroundJobsMax, in: 2...64)
        try values.read(&bloomBits, .bloomBits, in: 0...20)
        try values.read(&openFilesMax, .openFilesMax, in: 64...1_000_000)
        try values.read(&compression, oneOf: .compression)
    }
}
