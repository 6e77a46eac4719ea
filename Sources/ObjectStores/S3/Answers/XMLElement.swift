/// An element of the XML that S3 and STS answer with: a name, and text or elements inside.
///
/// Reads what those services write and refuses the rest: no document types, entities of one's own or CDATA. Prefixes of
/// names and attributes are dropped.
struct XMLElement: Sendable {
    private(set) var name: String
    private(set) var text = ""
    private(set) var children: [XMLElement] = []

    /// The first element inside of that name.
    subscript(_ name: String) -> XMLElement? { children.first { $0.name == name } }

    /// All elements inside of that name.
    func all(_ name: String) -> [XMLElement] { children.filter { $0.name == name } }

    /// Reads one document; nil when it is not well-formed or not of the kind above.
    init?(parsing bytes: [UInt8]) {
        guard String(validating: bytes, as: UTF8.self) != nil else { return nil }
        var scanner = XMLScanner(bytes: bytes)
        guard let root = scanner.document() else { return nil }
        self = root
    }

    fileprivate init(name: String) { self.name = name }

    fileprivate mutating func append(_ child: XMLElement) { children.append(child) }
    fileprivate mutating func append(_ more: String) { text += more }
}

private struct XMLScanner {
    /// S3's answers are four deep.
    private static let depthMax = 32

    private let bytes: [UInt8]
    private var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func document() -> XMLElement? {
        // A server that works long on an answer keeps the connection alive with blanks.
        skipBlanks()
        if starts(with: "<?xml"), !skip(past: "?>") { return nil }
        guard skipComments(), let root = element(depth: 0), skipComments(), position == bytes.count else { return nil }
        return root
    }

    private mutating func element(depth: Int) -> XMLElement? {
        guard depth < Self.depthMax, take("<"), let tag = startTag() else { return nil }
        var element = XMLElement(name: tag.name)
        if tag.isEmpty { return element }
        while position < bytes.count {
            if take("</") {
                guard let name = self.name(), name == tag.name else { return nil }
                skipBlanks()
                return take(">") ? element : nil
            }
            if starts(with: "<!--") {
                guard skip(past: "-->") else { return nil }
            } else if starts(with: "<") {
                guard let child = self.element(depth: depth + 1) else { return nil }
                element.append(child)
            } else {
                guard let text = self.text() else { return nil }
                element.append(text)
            }
        }
        return nil
    }

    private mutating func startTag() -> (name: String, isEmpty: Bool)? {
        guard let name = name() else { return nil }
        while position < bytes.count {
            skipBlanks()
            if take("/>") { return (name, true) }
            if take(">") { return (name, false) }
            guard self.name() != nil else { return nil }
            skipBlanks()
            guard take("=") else { return nil }
            skipBlanks()
            guard take("\"") ? skip(past: "\"") : take("'") && skip(past: "'") else { return nil }
        }
        return nil
    }

    /// A name without its prefix.
    private mutating func name() -> String? {
        let start = position
        while position < bytes.count, !" \t\r\n<>/=\"'&".utf8.contains(bytes[position]) { position += 1 }
        guard position > start else { return nil }
        let name = String(decoding: bytes[start..<position], as: UTF8.self)
        return name.split(separator: ":").last.map(String.init)
    }

    private mutating func text() -> String? {
        let start = position
        while position < bytes.count, bytes[position] != UInt8(ascii: "<") { position += 1 }
        var rest = bytes[start..<position]
        var result: [UInt8] = []
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "&") else {
                result.append(byte)
                continue
            }
            guard let end = rest.firstIndex(of: UInt8(ascii: ";")), let character = Self.character(rest[..<end]) else {
                return nil
            }
            result += String(character).utf8
            rest = rest[(end + 1)...]
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static func character(_ name: ArraySlice<UInt8>) -> Character? {
        let name = String(decoding: name, as: UTF8.self)
        switch name {
        case "amp": return "&"
        case "lt": return "<"
        case "gt": return ">"
        case "quot": return "\""
        case "apos": return "'"
        default:
            let number =
                name.hasPrefix("#x")
                ? UInt32(name.dropFirst(2), radix: 16)
                : name.hasPrefix("#") ? UInt32(name.dropFirst()) : nil
            return number.flatMap(Unicode.Scalar.init).map(Character.init)
        }
    }

    // MARK: - Steps

    private mutating func skipBlanks() {
        while position < bytes.count, " \t\r\n".utf8.contains(bytes[position]) { position += 1 }
    }

    /// False when a comment has no end.
    private mutating func skipComments() -> Bool {
        skipBlanks()
        while starts(with: "<!--") {
            guard skip(past: "-->") else { return false }
            skipBlanks()
        }
        return true
    }

    private func starts(with text: StaticString) -> Bool {
        text.withUTF8Buffer { bytes[position...].starts(with: $0) }
    }

    private mutating func take(_ text: StaticString) -> Bool {
        guard starts(with: text) else { return false }
        position += text.utf8CodeUnitCount
        return true
    }

    private mutating func skip(past text: StaticString) -> Bool {
        while position < bytes.count {
            if take(text) { return true }
            position += 1
        }
        return false
    }
}
