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
        try values.readSize(.cacheSizeBytes, in: (1 << 20)...(1 << 40), to: &cacheSizeBytes)
        try values.readSize(.writeBufferSizeBytes, in: (64 << 10)...(1 << 30), to: &writeBufferSizeBytes)
        try values.readSize(.blockSizeBytes, in: (1 << 10)...(4 << 20), to: &blockSizeBytes)
        try values.readNumber(.openFilesMax, in: 74...50_000, to: &openFilesMax)
        try values.readNumber(.bloomBits, in: 0...32, to: &bloomBits)
        if let name = try values.decodeIfPresent(String.self, forKey: .compression) {
            guard let known = Compression(rawValue: name) else {
                let names = Compression.allCases.map(\.rawValue).joined(separator: " or ")
                throw values.failure(.compression, "\"\(name)\" is not \(names)")
            }
            compression = known
        }
    }
}

extension KeyedDecodingContainer {
    fileprivate func readSize(_ key: Key, in range: ClosedRange<Int>, to size: inout Int) throws {
        guard contains(key) else { return }
        let bytes: Int
        do {
            bytes = try decode(Int.self, forKey: key)
        } catch DecodingError.typeMismatch {
            let text = try decode(String.self, forKey: key)
            guard let parsed = parseByteCount(text) else {
                throw failure(key, "\"\(text)\" is not a size such as 512KiB or 64MiB")
            }
            bytes = parsed
        }
        guard range.contains(bytes) else {
            throw failure(key, "\(bytes) bytes is not between \(range.lowerBound) and \(range.upperBound)")
        }
        size = bytes
    }

    fileprivate func readNumber(_ key: Key, in range: ClosedRange<Int>, to number: inout Int) throws {
        guard let value = try decodeIfPresent(Int.self, forKey: key) else { return }
        guard range.contains(value) else {
            throw failure(key, "\(value) is not between \(range.lowerBound) and \(range.upperBound)")
        }
        number = value
    }

    fileprivate func failure(_ key: Key, _ message: String) -> DecodingError {
        .dataCorruptedError(forKey: key, in: self, debugDescription: message)
    }
}

/// Bytes of a size like `64MiB`, `512 KiB` or `4096`; nil for anything else.
private func parseByteCount(_ text: String) -> Int? {
    let digits = text.prefix { $0.isASCII && $0.isWholeNumber }
    let unit = text[digits.endIndex...].drop { $0 == " " }
    let shifts = ["": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40]
    guard let number = Int(digits), let shift = shifts[String(unit)] else { return nil }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
    return overflow ? nil : bytes
}
