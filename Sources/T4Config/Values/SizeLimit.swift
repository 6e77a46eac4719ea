/// A size that is not to be passed, or none.
///
/// Written as a size; 0 and negative numbers of bytes are no limit.
public struct SizeLimit: Hashable, Sendable {
    /// No limit.
    public static let none = SizeLimit(bytes: nil)

    /// Bytes, more than 0; nil for no limit.
    public let bytes: Int?

    private init(bytes: Int?) { self.bytes = bytes }

    private init(_ size: ByteCount) { bytes = size.bytes > 0 ? size.bytes : nil }
}

extension SizeLimit: SettingValue {
    static var placeholder: String { ByteCount.placeholder }

    init(toml: TOMLNode) throws(Refusal) {
        if case .integer(..<0) = toml { self = .none } else { self.init(try ByteCount(toml: toml)) }
    }

    init(text: String) throws(Refusal) {
        if let bytes = Int(text), bytes < 0 { self = .none } else { self.init(try ByteCount(text: text)) }
    }

    var tomlText: String { bytes.map { ByteCount(bytes: $0).tomlText } ?? "0" }
}
