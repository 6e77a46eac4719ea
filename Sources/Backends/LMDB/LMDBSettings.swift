import T4Protocols

/// Settings of the `lmdb` engine, `[engine.lmdb]`.
public struct LMDBSettings: Decodable, Sendable {
    /// Most that the data file can grow to, in bytes; 1 MiB ... 64 TiB. `map_size_max`, default 64 GiB.
    ///
    /// Takes address space, neither memory nor disk.
    public var mapSizeBytesMax = 64 << 30
    /// Address space taken at the start, in bytes; `map_size_initial`, default and at most `mapSizeBytesMax`.
    ///
    /// Set it lower only where address space is scarce (`ulimit -v`): LMDB can grow the map only while no snapshot is
    /// open, so growing waits for open snapshots and holds new ones up.
    public var mapSizeBytesInitial: Int?
    /// Snapshots that may be open at once, over all processes; 1 ... 100 000. `max_readers`, default 1024.
    ///
    /// Each takes 64 bytes of the lock file.
    public var maxReaders = 1024
    /// Bytes of rows that are gathered in memory before they are written to the file in one go; 0 ... 1 GiB.
    /// `write_buffer_size`, default 4 MiB; 0 writes each batch at once.
    ///
    /// Up to three times as much is in memory while the file is slower than the writers, and has to be read again from the
    /// log after a crash. Used where the engine is made by its name; `LMDBEngine` itself gathers nothing.
    public var writeBufferBytes = 4 << 20

    /// The defaults.
    public init() {}

    private enum CodingKeys: String, CodingKey {
        case mapSizeBytesMax = "map_size_max"
        case mapSizeBytesInitial = "map_size_initial"
        case maxReaders = "max_readers"
        case writeBufferBytes = "write_buffer_size"
    }

    /// Reads the keys that are there; sizes are integers (bytes) or strings such as `"64GiB"`.
    /// - Throws: `DecodingError` that says which value is out of range or not a size.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let sizes = (1 << 20)...(64 << 40)
        try values.read(&mapSizeBytesMax, .mapSizeBytesMax, sizeIn: sizes)
        if values.contains(.mapSizeBytesInitial) {
            var size = mapSizeBytesMax
            try values.read(&size, .mapSizeBytesInitial, sizeIn: sizes.lowerBound...mapSizeBytesMax)
            mapSizeBytesInitial = size
        }
        try values.read(&maxReaders, .maxReaders, in: 1...100_000)
        try values.read(&writeBufferBytes, .writeBufferBytes, sizeIn: 0...(1 << 30))
    }
}
