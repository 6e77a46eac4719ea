/// Where a server is reached: HOST:PORT, an IPv6 address in brackets.
package struct HostPort: Hashable, Sendable, CustomStringConvertible {
    /// A name, or an address without brackets.
    package var host: String
    /// The port.
    package var port: Int

    /// Puts both together.
    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Nil for anything else, also where the host is empty or the port is not 1 ... 65535.
    package init?(_ text: some StringProtocol) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (1...65535).contains(port)
        else { return nil }
        let host = HostPort.host(of: text)
        guard !host.isEmpty else { return nil }
        self.init(host: host, port: port)
    }

    /// As it is read.
    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// What stands before the port, without brackets.
    package static func host(of text: some StringProtocol) -> String {
        var host = text[..<(text.lastIndex(of: ":") ?? text.endIndex)]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        return String(host)
    }
}
