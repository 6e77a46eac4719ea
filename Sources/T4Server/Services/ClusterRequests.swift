/// What etcd takes for the number of a release: major, minor and, if it is given, patch with what may follow.
enum ReleaseNumber {
    static func isValid(_ text: String) -> Bool { isSemantic(text) || isSemantic(text + ".0") }

    private static func isSemantic(_ text: String) -> Bool {
        let metadata = text.split(separator: "+", maxSplits: 1, omittingEmptySubsequences: false)
        let parts = metadata[0].split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        let numbers = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        return numbers.count == 3
            && numbers.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy(isDigit) && Int64($0) != nil }
            && (metadata.dropFirst() + parts.dropFirst()).allSatisfy { $0.utf8.allSatisfy(isIdentifier) }
    }

    private static func isIdentifier(_ byte: UInt8) -> Bool {
        isDigit(byte) || (0x41...0x5A).contains(byte & 0xDF) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
    }

    fileprivate static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
}

/// What etcd takes for the address of a member: scheme, host and port, and no path.
enum MemberURL {
    private static let schemes: Set = ["http", "https", "unix", "unixs"]

    static func isValid(_ text: String) -> Bool {
        let text = text.drop { $0.isWhitespace }
        guard let scheme = text.firstRange(of: "://"), schemes.contains(text[..<scheme.lowerBound].lowercased()) else {
            return false
        }
        let rest = text[scheme.upperBound...]
        let authority = rest.prefix { !"/?#".contains($0) }
        if rest.dropFirst(authority.count).first == "/" { return false }
        let host = authority.lastIndex(of: "@").map { authority[authority.index(after: $0)...] } ?? authority
        guard let colon = host.lastIndex(of: ":") else { return false }
        let (name, port) = (host[..<colon], host[host.index(after: colon)...])
        let isWhole = name.hasPrefix("[") ? name.hasSuffix("]") : !name.contains(where: { ":[]".contains($0) })
        return isWhole && port.utf8.allSatisfy(ReleaseNumber.isDigit) && !host.contains(where: \.isWhitespace)
    }
}
