/// What a request line asks for, read as Go's server reads it: a path, a whole URL, or a host for CONNECT.
struct HTTPTarget {
    /// With percent signs resolved.
    let path: [UInt8]
    /// What stands behind the question mark, as it was sent; empty without one.
    let query: String
    /// Scheme and host of a whole URL, as `http://host`.
    let origin: String

    /// Nil for what is no target: the request is refused.
    init?(_ text: String, method: String) {
        guard !text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else { return nil }
        let parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        query = parts.count > 1 ? String(parts[1]) : ""
        var rest = parts.first ?? ""
        if rest.hasPrefix("/") {
            origin = ""
        } else if text == "*" || method == "CONNECT" {
            path = text == "*" ? Array("*".utf8) : []
            origin = ""
            return
        } else {
            guard let colon = rest.firstIndex(of: ":"), Self.isScheme(rest[..<colon]) else { return nil }
            let behind = rest[colon...].dropFirst()
            guard behind.hasPrefix("//") else { return nil }
            let end = behind.dropFirst(2).firstIndex(of: "/") ?? behind.endIndex
            origin = String(rest[..<end])
            rest = behind[end...]
        }
        guard let path = Self.resolved(rest) else { return nil }
        self.path = path
    }

    private static func isScheme(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, isLetter(first) else { return false }
        return text.utf8.allSatisfy { isLetter($0) || (0x30...0x39).contains($0) || "+-.".utf8.contains($0) }
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7a).contains(byte | 0x20) }

    /// Bytes for percent signs; nil where no two digits follow one.
    private static func resolved(_ text: Substring) -> [UInt8]? {
        guard text.utf8.contains(UInt8(ascii: "%")) else { return Array(text.utf8) }
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, !digits.contains(UInt8(ascii: "+")), !digits.contains(UInt8(ascii: "-")),
                let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
            else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return bytes
    }
}
