import TOMLKit

/// A value of a TOML file, without the parser's own types so that it can be kept and sent between threads.
enum TOMLNode: Hashable, Sendable {
    case string(String)
    case integer(Int)
    case double(Double)
    case boolean(Bool)
    /// A date, a time or both, as its text: no setting has such a type.
    case date(String)
    case array([TOMLNode])
    case table([String: TOMLNode])
    /// The text of a flag or a variable: of whatever type is asked for, if it can be read as that.
    case text(String)

    /// The value for an error message: `"fifty"`, `12`, `a table`.
    var summary: String {
        switch self {
        case .string(let text), .text(let text): text.count <= 40 ? quoted(text) : quoted(text.prefix(37) + "...")
        case .integer(let number): String(number)
        case .double(let number): String(number)
        case .boolean(let value): String(value)
        case .date(let text): "the date \(text)"
        case .array: "an array"
        case .table: "a table"
        }
    }

    /// The value as it can stand behind `key =`; tables become inline tables.
    var tomlText: String {
        switch self {
        case .string(let text): quoted(text)
        case .integer(let number): String(number)
        case .double(let number): String(number)
        case .boolean(let value): String(value)
        case .date(let text): text
        case .array(let nodes): "[" + nodes.map(\.tomlText).joined(separator: ", ") + "]"
        case .table(let table):
            "{"
                + table.sorted { $0.key < $1.key }.map { "\(tomlKey($0.key)) = \($0.value.tomlText)" }
                .joined(separator: ", ") + "}"
        // Its type is not known here: what looks like a number or a switch most likely is one.
        case .text(let text):
            Int(text)?.description == text || Double(text)?.description == text || Bool(text) != nil
                ? text : quoted(text)
        }
    }

    /// The texts below keys that are named like secrets, for keeping them out of messages.
    ///
    /// Shorter ones than four characters are left out: they hide nothing, and taking them out would garble a message.
    func secretTexts(isSecret: Bool) -> [String] {
        switch self {
        case .string(let text), .text(let text): isSecret && text.count >= 4 ? [text] : []
        case .array(let nodes): nodes.flatMap { $0.secretTexts(isSecret: isSecret) }
        case .table(let table):
            table.sorted { $0.key < $1.key }.flatMap { key, node in
                node.secretTexts(isSecret: isSecret || Secret.isNamed(byKey: key))
            }
        case .integer, .double, .boolean, .date: []
        }
    }
}

/// A key as it is written in a TOML file: bare where it can be, else in quotes.
func tomlKey(_ key: String) -> String {
    let isBare = key.utf8.allSatisfy { byte in
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
            || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "_")
            || byte == UInt8(ascii: "-")
    }
    return isBare && !key.isEmpty ? key : quoted(key)
}

/// A parsed TOML file: its values, and where their keys stand.
struct TOMLDocument: Sendable {
    /// The file's name as it was given, for messages.
    var file: String
    /// The tables and keys.
    var root: [String: TOMLNode]
    /// Where they stand.
    private var positions: KeyPositions

    /// Parses a whole file.
    init(file: String, text: String) throws(ConfigurationError) {
        // The parser below takes a C string: a NUL would silently hide the rest of the file.
        if let place = text.unicodeScalars.firstIndex(of: "\0") {
            let lines = text.unicodeScalars[..<place].split(separator: "\n", omittingEmptySubsequences: false)
            throw ConfigurationError(
                .init(
                    at: .file(file, line: lines.count, column: (lines.last?.count ?? 0) + 1),
                    reason: "the file holds a NUL character"))
        }
        let positions = KeyPositions(of: text)
        if let trap = positions.trap {
            let found = trap.found == "\n" || trap.found == "\r" ? "a line end" : "'\(trap.found)'"
            throw ConfigurationError(
                .init(
                    at: .file(file, line: trap.position.line, column: trap.position.column),
                    reason: "syntax error in \(trap.context): expected \(trap.expected), saw \(found)"))
        }
        let table: TOMLTable
        do {
            table = try TOMLTable(string: text)
        } catch let error as TOMLParseError {
            let place = error.source.begin
            throw ConfigurationError(
                SyntaxProblem(file: file, text: text, positions: positions)
                    .problem(said: error.description, line: place.line, column: place.column))
        } catch {
            throw ConfigurationError(.init(at: .file(file, line: nil, column: nil), reason: "\(error)"))
        }
        self.file = file
        self.root = TOMLDocument.nodes(of: table)
        self.positions = positions
    }

    /// The place of a key, or of the closest table above it that stands in the file.
    func location(of path: [String]) -> ConfigurationError.Location {
        var path = path
        while !path.isEmpty {
            if let position = positions[path] {
                return .file(file, line: position.line, column: position.column)
            }
            path.removeLast()
        }
        return .file(file, line: nil, column: nil)
    }

    private static func nodes(of table: TOMLTable) -> [String: TOMLNode] {
        var result: [String: TOMLNode] = [:]
        for key in table.keys {
            if let value = table[key] { result[key] = node(of: value) }
        }
        return result
    }

    private static func node(of value: any TOMLValueConvertible) -> TOMLNode {
        if let text = value.string { return .string(text) }
        if let number = value.int { return .integer(number) }
        if let number = value.double { return .double(number) }
        if let flag = value.bool { return .boolean(flag) }
        if let array = value.array { return .array(array.map { node(of: $0) }) }
        if let table = value.table { return .table(nodes(of: table)) }
        return .date(value.debugDescription)
    }
}
