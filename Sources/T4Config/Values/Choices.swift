import T4Core

/// How much the node writes to its log, from everything to least.
///
/// The names are those of swift-log's levels.
public enum LogLevel: String, CaseIterable, Comparable, Sendable, NamedChoice {
    /// Every step; slow.
    case trace
    /// What a developer of t4 looks for.
    case debug
    /// What an operator wants to read back later.
    case info
    /// Unusual but expected: a client that was cut off, a repaired log tail.
    case notice
    /// Something needs attention soon.
    case warning
    /// Something failed.
    case error
    /// The node cannot go on.
    case critical

    /// Orders from everything to least.
    public static func < (left: LogLevel, right: LogLevel) -> Bool { left.rank < right.rank }

    private var rank: Int { LogLevel.allCases.firstIndex(of: self) ?? 0 }
}

/// How a log line looks.
public enum LogFormat: String, CaseIterable, Sendable, NamedChoice {
    /// For people: time, level, message, metadata.
    case text
    /// One JSON object a line.
    case json
}

extension Durability: SettingValue {
    static var placeholder: String { all.map(\.name).joined(separator: "|") }
    private static let all: [Durability] = [.local, .objectStore, .replicated]
    private static var wanted: String { "\"local\", \"object-store\" or \"replicated\"" }

    private var name: String {
        switch self {
        case .local: "local"
        case .objectStore: "object-store"
        case .replicated: "replicated"
        }
    }

    init(toml: TOMLNode) throws(Refusal) {
        guard case .string(let text) = toml else { throw .expected(Durability.wanted, found: toml) }
        try self.init(text: text)
    }

    init(text: String) throws(Refusal) {
        guard let value = Durability.all.first(where: { $0.name == text }) else {
            let nearest = nearestName(to: text, among: Durability.all.map(\.name))
            var refusal = Refusal.expected(Durability.wanted, foundText: text)
            refusal.hint = nearest.map { "did you mean \(quoted($0))?" }
            throw refusal
        }
        self = value
    }

    var tomlText: String { quoted(name) }
}

/// A place to listen: a host name or address, and a port.
///
/// Written `host:port`, `[IPv6]:port`, or `:port` for every address of the machine. Port 0 lets the system choose.
public struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    /// A name or an address without brackets.
    public var host: String
    /// 0 ... 65535.
    public var port: Int

    /// Names a place to listen.
    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Reads `host:port`; nil when the text is none.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard host.contains(":") else { return nil }
        } else if host.contains(where: { ":[]/ ".contains($0) }) {
            return nil
        }
        self.init(host: host.isEmpty ? "0.0.0.0" : String(host), port: Int(port))
    }

    /// `host:port`, with brackets around an IPv6 address.
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

extension ListenAddress: SettingValue {
    static var placeholder: String { "HOST:PORT" }

    init(toml: TOMLNode) throws(Refusal) {
        guard case .string(let text) = toml else {
            throw .expected("an address such as \"0.0.0.0:3379\"", found: toml)
        }
        try self.init(text: text)
    }

    init(text: String) throws(Refusal) {
        guard let address = ListenAddress(text) else {
            throw Refusal(
                Refusal.expected("an address such as \"0.0.0.0:3379\"", foundText: text).reason,
                hint: text.contains("://")
                    ? "leave out the scheme" : "write HOST:PORT, with brackets around an IPv6 address")
        }
        self = address
    }

    var tomlText: String { quoted(description) }
}
