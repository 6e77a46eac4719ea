/// A size in bytes: 0 ... 2^63 - 1.
///
/// Written as a whole number of bytes or as a number and a unit: `B`, `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024) or
/// `KB`, `MB`, `GB`, `TB` (powers of 1000). Fractions are fine where whole bytes come out: `"1.5MiB"`.
public struct ByteCount: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Bytes, never negative.
    public let bytes: Int

    /// A size.
    /// - Precondition: `bytes` is not negative.
    public init(bytes: Int) {
        precondition(bytes >= 0, "a size is never negative")
        self.bytes = bytes
    }

    /// Reads a size with or without unit; nil when the text is no size, or none that fits into 63 bits.
    public init?(_ text: String) {
        let number = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        var unit = text.dropFirst(number.count)
        unit = unit.drop { $0 == " " }
        guard let scale = unit.isEmpty ? 1 : ByteCount.units.first(where: { $0.name == unit })?.bytes,
            let bytes = wholeProduct(of: number, times: scale)
        else { return nil }
        self.bytes = bytes
    }

    /// A number of mebibytes.
    public static func mebibytes(_ count: Int) -> ByteCount { ByteCount(bytes: count << 20) }

    /// A number of kibibytes.
    public static func kibibytes(_ count: Int) -> ByteCount { ByteCount(bytes: count << 10) }

    /// Orders by size.
    public static func < (left: ByteCount, right: ByteCount) -> Bool { left.bytes < right.bytes }

    /// The size in the largest binary unit that divides it; reading it gives the same size again.
    public var description: String {
        for unit in ByteCount.units.reversed() where unit.isBinary && bytes >= unit.bytes && bytes % unit.bytes == 0 {
            return "\(bytes / unit.bytes)\(unit.name)"
        }
        return "\(bytes)B"
    }

    private static let units: [(name: String, bytes: Int, isBinary: Bool)] = [
        ("B", 1, false),
        ("KB", 1000, false), ("MB", 1_000_000, false), ("GB", 1_000_000_000, false), ("TB", 1_000_000_000_000, false),
        ("KiB", 1 << 10, true), ("MiB", 1 << 20, true), ("GiB", 1 << 30, true), ("TiB", 1 << 40, true),
    ]
}

extension ByteCount: SettingValue {
    static var placeholder: String { "SIZE" }
    private static let wanted = "a size such as \"50MiB\" or a number of bytes"

    init(toml: TOMLNode) throws(Refusal) {
        switch toml {
        case .integer(let bytes) where bytes >= 0: self.init(bytes: bytes)
        case .string(let text): try self.init(text: text)
        default: throw .expected(ByteCount.wanted, found: toml)
        }
    }

    init(text: String) throws(Refusal) {
        guard let size = ByteCount(text) else {
            var refusal = Refusal.expected(ByteCount.wanted, foundText: text)
            let unit = text.drop { $0.isNumber || $0 == "." || $0 == " " }
            if ByteCount.units.contains(where: { $0.name == unit }) || unit.isEmpty {
                refusal.hint = "sizes are whole bytes, less than 8388608TiB"
            } else if unit.count < text.count {
                refusal.hint = "units are B, KiB, MiB, GiB, TiB, KB, MB, GB, TB"
            }
            throw refusal
        }
        self = size
    }

    var tomlText: String { quoted(description) }
}

/// The decimal number times `scale`, when that is a whole number that fits into 63 bits.
///
/// Counted in whole numbers throughout, so that no fraction is rounded.
func wholeProduct(of number: Substring, times scale: Int) -> Int? {
    let parts = number.split(separator: ".", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), let whole = Int(parts[0]) else { return nil }
    let (product, overflows) = whole.multipliedReportingOverflow(by: scale)
    guard !overflows else { return nil }
    guard parts.count == 2 else { return product }
    // 10^9 times the largest scale in use, one day in nanoseconds or 2^40, stays below 2^73: hence the wide multiply.
    guard (1...9).contains(parts[1].count), let fraction = Int(parts[1]) else { return nil }
    let divisor = (0..<parts[1].count).reduce(1) { power, _ in power * 10 }
    let wide = fraction.multipliedFullWidth(by: scale)
    let (quotient, remainder) = divisor.dividingFullWidth(wide)
    let (sum, sumOverflows) = product.addingReportingOverflow(quotient)
    return remainder == 0 && !sumOverflows ? sum : nil
}
