/// Which keys a `Decodable` type asked for, to find those in the file that it does not know.
///
/// Used by one decoding call on one thread.
final class AskedKeys {
    private struct Table {
        var names: Set<String>
        var asked: Set<String> = []
    }

    private var tables: [[String]: Table] = [:]

    func opened(_ path: [String], names: some Sequence<String>) {
        if tables[path] == nil { tables[path] = Table(names: Set(names)) }
    }

    func asked(_ name: String, in path: [String]) { tables[path]?.asked.insert(name) }

    /// A type that lists all keys, a dictionary for instance, knows all of them.
    func askedForAll(in path: [String]) {
        if let names = tables[path]?.names { tables[path]?.asked.formUnion(names) }
    }

    /// Keys of one table that the type has not asked for so far.
    func notAsked(in path: [String]) -> [String] {
        tables[path].map { $0.names.subtracting($0.asked).sorted() } ?? []
    }

    /// Path of the table, the unknown key, and the keys that the type knows; in order of their paths.
    func unknown() -> [(path: [String], name: String, known: [String])] {
        tables.sorted { $0.key.lexicographicallyPrecedes($1.key) }.flatMap { path, table in
            table.names.subtracting(table.asked).sorted().map { (path, $0, table.asked.sorted()) }
        }
    }
}

/// Decodes a type from a TOML value; remembers which keys the type asks for.
struct TOMLNodeDecoder: Decoder {
    let node: TOMLNode
    let path: [String]
    let asked: AskedKeys
    var codingPath: [any CodingKey] { path.map { PathKey($0) } }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    init(_ node: TOMLNode, path: [String], asked: AskedKeys) {
        self.node = node
        self.path = path
        self.asked = asked
        // Here and not in `container`: a type without properties never asks for a container.
        if case .table(let table) = node { asked.opened(path, names: table.keys) }
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        guard case .table(let table) = node else { throw mismatch(type, "a table") }
        return KeyedDecodingContainer(TableContainer<Key>(table: table, path: path, asked: asked))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        guard case .array(let nodes) = node else { throw mismatch([Any].self, "an array") }
        return ArrayContainer(nodes: nodes, path: path, asked: asked)
    }

    func singleValueContainer() throws -> any SingleValueDecodingContainer { ValueContainer(decoder: self) }

    fileprivate func mismatch(_ type: Any.Type, _ wanted: String) -> DecodingError {
        .typeMismatch(
            type, .init(codingPath: codingPath, debugDescription: "expected \(wanted), found \(summary)"))
    }

    /// The value for a message, unless its key says that it is a secret.
    private var summary: String { path.contains(where: Secret.isNamed(byKey:)) ? Secret.redacted : node.summary }

    /// Reads the node as `type`; values that TOML has itself are matched here, everything else decodes itself.
    fileprivate func value<Value: Decodable>(_ type: Value.Type) throws -> Value {
        func cast(_ value: some Any) throws -> Value {
            guard let value = value as? Value else { throw mismatch(type, "\(type)") }
            return value
        }
        switch type {
        case is String.Type:
            switch node {
            case .string(let text), .text(let text): return try cast(text)
            default: throw mismatch(type, "a text in quotes")
            }
        case is Bool.Type:
            switch node {
            case .boolean(let flag): return try cast(flag)
            case .text("true"), .text("1"): return try cast(true)
            case .text("false"), .text("0"): return try cast(false)
            default: throw mismatch(type, "true or false")
            }
        case is Double.Type, is Float.Type:
            let number: Double? =
                switch node {
                case .double(let value): value
                case .integer(let value): Double(value)
                case .text(let text): Double(text)
                default: nil
                }
            guard let number else { throw mismatch(type, "a number") }
            return type is Float.Type ? try cast(Float(number)) : try cast(number)
        case let integer as any FixedWidthInteger.Type:
            return try cast(self.integer(integer))
        default:
            return try Value(from: self)
        }
    }

    private func integer<Number: FixedWidthInteger>(_ type: Number.Type) throws -> Number {
        let value: Int? =
            switch node {
            case .integer(let value): value
            case .text(let text): Int(text)
            default: nil
            }
        guard let value else { throw mismatch(type, "a whole number") }
        guard let number = Number(exactly: value) else {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: codingPath,
                    debugDescription: "\(summary) is out of range; \(Number.min) ... \(Number.max)"))
        }
        return number
    }
}

private struct PathKey: CodingKey {
    let stringValue: String
    var intValue: Int? { Int(stringValue) }
    init(stringValue: String) { self.stringValue = stringValue }
    init(intValue: Int) { self.stringValue = String(intValue) }
    init(_ name: String) { self.stringValue = name }
}

private struct TableContainer<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let table: [String: TOMLNode]
    let path: [String]
    let asked: AskedKeys
    var codingPath: [any CodingKey] { path.map { PathKey($0) } }

    var allKeys: [Key] {
        asked.askedForAll(in: path)
        return table.keys.sorted().compactMap(Key.init(stringValue:))
    }

    func contains(_ key: Key) -> Bool {
        asked.asked(key.stringValue, in: path)
        return table[key.stringValue] != nil
    }

    /// TOML has no null: what is there is never nil.
    func decodeNil(forKey key: Key) throws -> Bool { !contains(key) }

    func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
        try decoder(key).value(type)
    }

    func nestedContainer<NestedKey: CodingKey>(
        keyedBy type: NestedKey.Type, forKey key: Key
    ) throws -> KeyedDecodingContainer<NestedKey> {
        try decoder(key).container(keyedBy: type)
    }

    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        try decoder(key).unkeyedContainer()
    }

    func superDecoder() throws -> any Decoder { TOMLNodeDecoder(.table(table), path: path, asked: asked) }
    func superDecoder(forKey key: Key) throws -> any Decoder { try decoder(key) }

    private func decoder(_ key: Key) throws -> TOMLNodeDecoder {
        asked.asked(key.stringValue, in: path)
        guard let node = table[key.stringValue] else {
            throw DecodingError.keyNotFound(key, .init(codingPath: codingPath, debugDescription: "missing"))
        }
        return TOMLNodeDecoder(node, path: path + [key.stringValue], asked: asked)
    }
}

private struct ArrayContainer: UnkeyedDecodingContainer {
    let nodes: [TOMLNode]
    let path: [String]
    let asked: AskedKeys
    var currentIndex = 0
    var codingPath: [any CodingKey] { path.map { PathKey($0) } }
    var count: Int? { nodes.count }
    var isAtEnd: Bool { currentIndex >= nodes.count }

    init(nodes: [TOMLNode], path: [String], asked: AskedKeys) {
        self.nodes = nodes
        self.path = path
        self.asked = asked
    }

    func decodeNil() throws -> Bool { false }

    mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try next(type).value(type) }

    mutating func nestedContainer<NestedKey: CodingKey>(
        keyedBy type: NestedKey.Type
    ) throws -> KeyedDecodingContainer<NestedKey> {
        try next(type).container(keyedBy: type)
    }

    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
        try next([Any].self).unkeyedContainer()
    }

    mutating func superDecoder() throws -> any Decoder { try next(Any.self) }

    private mutating func next(_ type: Any.Type) throws -> TOMLNodeDecoder {
        guard !isAtEnd else {
            throw DecodingError.valueNotFound(
                type, .init(codingPath: codingPath, debugDescription: "the array has only \(nodes.count) elements"))
        }
        defer { currentIndex += 1 }
        return TOMLNodeDecoder(nodes[currentIndex], path: path + [String(currentIndex)], asked: asked)
    }
}

private struct ValueContainer: SingleValueDecodingContainer {
    let decoder: TOMLNodeDecoder
    var codingPath: [any CodingKey] { decoder.codingPath }

    func decodeNil() -> Bool { false }
    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try decoder.value(type) }
}
