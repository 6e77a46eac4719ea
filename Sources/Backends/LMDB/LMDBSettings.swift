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

    /// The defaults.
    public init() {}

    private enum CodingKeys: String, CodingKey {
        case mapSizeBytesMax = "map_size_max"
        case mapSizeBytesInitial = "map_size_initial"
        case maxReaders = "max_readers"
    }

    /// Reads the keys that are there; sizes are integers (bytes) or strings such as `"64GiB"`.
    /// - Throws: `DecodingError` that says which value is out of range or not a size.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let sizes = (1 << 20)...(64 << 40)
        if values.contains(.mapSizeBytesMax) {
            mapSizeBytesMax = try values.size(.mapSizeBytesMax, in: sizes)
        }
        if values.contains(.mapSizeBytesInitial) {
            mapSizeBytesInitial = try values.size(.mapSizeBytesInitial, in: sizes.lowerBound...mapSizeBytesMax)
        }
        if let readers = try values.decodeIfPresent(Int.self, forKey: .maxReaders) {
            guard (1...100_000).contains(readers) else {
                throw values.failure(.maxReaders, "\(readers) is not between 1 and 100000")
            }
            maxReaders = readers
        }
    }
}

extension KeyedDecodingContainer {
    fileprivate func size(_ key: Key, in range: ClosedRange<Int>) throws -> Int {
        let bytes: Int
        do {
            bytes = try decode(Int.self, forKey: key)
        } catch DecodingError.typeMismatch {
            let text = try decode(String.self, forKey: key)
            guard let parsed = parseByteCount(text) else {
                throw failure(key, "\"\(text)\" is not a size such as 512MiB or 64GiB")
            }
            bytes = parsed
        }
        guard range.contains(bytes) else {
            throw failure(key, "\(bytes) bytes is not between \(range.lowerBound) and \(range.upperBound)")
        }
        return bytes
    }

    fileprivate func failure(_ key: Key, _ message: String) -> DecodingError {
        .dataCorruptedError(forKey: key, in: self, debugDescription: message)
    }
}

/// Bytes of a size like `64GiB`, `512 MiB` or `4096`; nil for anything else.
func parseByteCount(_ text: String) -> Int? {
    let digits = text.prefix { $0.isASCII && $0.isWholeNumber }
    let unit = text[digits.endIndex...].drop { $0 == " " }
    let shifts = ["": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40]
    guard let number = Int(digits), let shift = shifts[String(unit)] else { return nil }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
    return overflow ? nil : bytes
}
