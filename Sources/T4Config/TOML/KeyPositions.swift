/// Where each key and table of a TOML text stands.
///
/// The parser gives positions only for syntax errors, so the text is read a second time, for keys alone. In a text that
/// the parser does not accept, positions behind the error may be missing or wrong, but reading ends.
struct KeyPositions: Sendable {
    struct Position: Hashable, Sendable {
        /// From 1.
        var line: Int
        /// From 1, in Unicode scalars.
        var column: Int
    }

    private var positions: [[String]: Position] = [:]
    /// Every key and table header, in the order of the text, also those that stand there twice.
    private var all: [(path: [String], position: Position)] = []

    /// The place of a key or table; the first one when there are several (arrays of tables).
    subscript(path: [String]) -> Position? { positions[path] }

    /// The last key of a line that starts at or before a place in that line.
    func key(before place: Position) -> (path: [String], position: Position)? {
        all.last { $0.position.line == place.line && $0.position.column <= place.column }
    }

    /// The first place of those where the parser ends the process instead of giving an error, so that it must not see the
    /// text: a table header with neither a key nor its end, something else than a value in an array, and a date-time
    /// without an hour.
    private(set) var trap: (position: Position, context: String, expected: String, found: Unicode.Scalar)?
    /// Values around the one that is read.
    private var depth = 0
    /// The parser refuses deeper ones.
    private static let depthMax = 256

    /// Reads a whole file.
    init(of text: String) {
        var reader = Reader(text: text)
        var table: [String] = []
        while true {
            reader.skipBlanks(andNewlines: true)
            guard let next = reader.peek else { return }
            let start = reader.position
            if next == "[" {
                readBrackets(&reader)
                reader.skip(while: { $0 == "[" })
                reader.skipBlanks(andNewlines: false)
                let keyStart = reader.position
                table = reader.dottedKey()
                note(table, at: keyStart)
                reader.skip(while: { $0 != "\n" })
            } else {
                readPair(&reader, below: table)
            }
            // A text the parser would refuse must not keep this loop in one place.
            if reader.position == start { reader.advance() }
        }
    }

    /// Reads what is before the key of a table header.
    private mutating func readBrackets(_ reader: inout Reader) {
        reader.advance()
        let isArray = reader.peek == "["
        if isArray { reader.advance() }
        reader.skip(while: { $0 == " " || $0 == "\t" })
        guard let next = reader.peek, next != "]", isArray || next != "[" else { return }
        let isKey = next == "\"" || next == "'" || next.isASCII && (next.properties.isAlphabetic || next.isDigit)
        if !isKey, next != "-", next != "_" { noteTrap(reader, "a table header", expected: "a key") }
    }

    /// Notes that the parser must not come to where the reader is.
    private mutating func noteTrap(_ reader: Reader, _ context: String, expected: String) {
        guard trap == nil, let found = reader.peek else { return }
        trap = (reader.position, context, expected, found)
    }

    private mutating func readPair(_ reader: inout Reader, below table: [String]) {
        reader.skipBlanks(andNewlines: false)
        let start = reader.position
        let path = table + reader.dottedKey()
        note(path, at: start)
        reader.skipBlanks(andNewlines: false)
        if reader.peek == "=" { reader.advance() }
        readValue(&reader, of: path)
    }

    private mutating func readValue(_ reader: inout Reader, of path: [String]) {
        guard depth < Self.depthMax else { return }
        depth += 1
        defer { depth -= 1 }
        reader.skipBlanks(andNewlines: false)
        switch reader.peek {
        case "\"", "'": reader.skipString()
        case "{":
            reader.advance()
            while let next = reader.peek, next != "}" {
                let start = reader.position
                readPair(&reader, below: path)
                reader.skip(while: { $0 == "," || $0 == " " || $0 == "\t" || $0 == "\n" || $0 == "\r" })
                if reader.position == start { return }
            }
            reader.advance()
        case "[":
            reader.advance()
            while true {
                reader.skipBlanks(andNewlines: true)
                guard let next = reader.peek, next != "]" else { break }
                if next == "}" || next.properties.isWhitespace { noteTrap(reader, "an array", expected: "a value") }
                let start = reader.position
                readValue(&reader, of: path)
                reader.skip(while: { $0 == "," })
                if reader.position == start { return }
            }
            reader.advance()
        default:
            reader.skip(while: { $0.properties.isWhitespace && $0 != "\n" })
            readNumber(&reader)
            reader.skip(while: { !",]}#\n".unicodeScalars.contains($0) })
        }
    }

    /// Reads a value that is no string, up to the second digit of the hour if it is a date-time.
    private mutating func readNumber(_ reader: inout Reader) {
        guard let first = reader.peek, first.isDigit else { return }
        if reader.skipDate(), reader.peek == "T" || reader.peek == "t" {
            reader.advance()
            if let hour = reader.peek, !hour.isDigit { noteTrap(reader, "a date-time", expected: "an hour") }
        }
        reader.skip(while: { !Self.endsValue($0) })
        guard reader.peek == " " else { return }
        reader.advance()
        // Whatever was before: behind a blank only an hour of two digits can be right.
        guard let hour = reader.peek, hour.isDigit else { return }
        reader.advance()
        if let next = reader.peek, Self.endsValue(next) {
            noteTrap(reader, "a date-time", expected: "the second digit of an hour")
        }
    }

    private static func endsValue(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || ",]}#".unicodeScalars.contains(scalar)
    }

    private mutating func note(_ path: [String], at position: Position) {
        if !path.isEmpty { all.append((path, position)) }
        for length in stride(from: 1, through: path.count, by: 1) {
            let prefix = Array(path.prefix(length))
            if positions[prefix] == nil { positions[prefix] = position }
        }
    }
}

extension Unicode.Scalar {
    fileprivate var isDigit: Bool { "0"..."9" ~= self }
}

/// Walks through a text and counts lines and columns.
private struct Reader {
    private let scalars: [Unicode.Scalar]
    private var index = 0
    private(set) var position = KeyPositions.Position(line: 1, column: 1)

    init(text: String) { scalars = Array(text.unicodeScalars) }

    var peek: Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }

    mutating func advance() {
        guard let scalar = peek else { return }
        index += 1
        if scalar == "\n" {
            position.line += 1
            position.column = 1
        } else {
            position.column += 1
        }
    }

    mutating func skip(while condition: (Unicode.Scalar) -> Bool) {
        while let next = peek, condition(next) { advance() }
    }

    /// Skips spaces, tabs and comments.
    mutating func skipBlanks(andNewlines: Bool) {
        while let next = peek {
            switch next {
            case " ", "\t": advance()
            case "\r", "\n", "\u{FEFF}":
                guard andNewlines else { return }
                advance()
            case "#": skip(while: { $0 != "\n" })
            default: return
            }
        }
    }

    /// Skips `2026-01-02`, or as much of it as there is.
    /// - Returns: Whether it is there.
    mutating func skipDate() -> Bool {
        for part in "dddd-dd-dd".unicodeScalars {
            guard let next = peek, part == "d" ? next.isDigit : next == part else { return false }
            advance()
        }
        return true
    }

    /// Reads `a."b c".d`.
    mutating func dottedKey() -> [String] {
        var parts: [String] = []
        while true {
            skipBlanks(andNewlines: false)
            if peek == "\"" || peek == "'" {
                parts.append(skipString())
            } else {
                var part = ""
                while let next = peek, !".:=]}[{,#\"' \t\r\n".unicodeScalars.contains(next) {
                    part.unicodeScalars.append(next)
                    advance()
                }
                guard !part.isEmpty else { return parts }
                parts.append(part)
            }
            skipBlanks(andNewlines: false)
            guard peek == "." else { return parts }
            advance()
        }
    }

    /// Skips a string of any of TOML's four kinds and gives what is between its quotes, escapes left as they are.
    @discardableResult
    mutating func skipString() -> String {
        guard let quote = peek else { return "" }
        var length = 0
        while peek == quote, length < 3 {
            advance()
            length += 1
        }
        if length == 2 { return "" }
        var content = ""
        var closing = 0
        while let next = peek {
            advance()
            if next == quote {
                closing += 1
                guard closing < length else {
                    // `"""a""""`: up to two more quotes belong to the content.
                    if length == 3 { skip(while: { $0 == quote }) }
                    return content
                }
                continue
            }
            closing = 0
            content.unicodeScalars.append(next)
            if next == "\\", quote == "\"" { advance() }
        }
        return content
    }
}
