import RPC

/// Where a server answers.
struct Endpoint: Sendable {
    var host: String
    var port: Int

    /// Reads HOST:PORT, also with `http://` or `https://` before it and a slash behind; nil for anything else.
    init?(_ text: String) {
        var address = text[...]
        for scheme in ["http://", "https://"] where address.hasPrefix(scheme) {
            address = address.dropFirst(scheme.count)
        }
        if address.hasSuffix("/") { address.removeLast() }
        guard let address = HostPort(address) else { return nil }
        (host, port) = (address.host, address.port)
    }
}
