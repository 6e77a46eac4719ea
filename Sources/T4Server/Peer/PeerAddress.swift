/// Where a node is reached: HOST:PORT, an IPv6 address in brackets.
struct PeerAddress: Hashable, Sendable {
    var host: String
    var port: Int

    /// Nil for anything else.
    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (1...65535).contains(port)
        else { return nil }
        let host = PeerAddress.host(text)
        guard !host.isEmpty else { return nil }
        self.host = host
        self.port = port
    }

    static func text(host: String, port: Int) -> String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    /// What stands before the port, without brackets.
    static func host(_ text: String) -> String {
        var host = text[..<(text.lastIndex(of: ":") ?? text.endIndex)]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        return String(host)
    }
}
