/// A message of the services, with its fields in the order of their numbers.
final class GatewayMessage: @unchecked Sendable {
    // Unchecked: nothing changes once the schema is made.

    let name: String
    fileprivate(set) var fields: [GatewayField] = []
    /// Positions in `fields`, by the name in the protocol and by the one that JSON prefers.
    fileprivate(set) var slots: [String: (slot: Int, isPreferred: Bool)] = [:]
    /// Positions in `fields` by number; numbers are small.
    fileprivate var slotsByNumber: [Int: Int] = [:]

    fileprivate init(name: String) { self.name = name }

    func slot(ofNumber number: Int) -> Int? { slotsByNumber[number] }
}

/// One field of a message.
struct GatewayField: Sendable {
    let number: UInt64
    let name: String
    let isRepeated: Bool
    /// Present even when it is zero.
    let isInOneof: Bool
    let kind: GatewayKind
}

/// What a field holds.
enum GatewayKind: Sendable {
    case bool
    case int32
    case int64
    case uint32
    case uint64
    case string
    case bytes
    case enumeration(GatewayEnumeration)
    case message(GatewayMessage)

    /// Of a number, a truth value or an enumeration.
    var isVarint: Bool {
        switch self {
        case .string, .bytes, .message: false
        default: true
        }
    }
}

/// The names of an enumeration.
final class GatewayEnumeration: Sendable {
    let name: String
    let numbers: [String: Int32]
    let names: [Int32: String]

    init(name: String, values: [(name: String, number: Int32)]) {
        self.name = name
        numbers = Dictionary(uniqueKeysWithValues: values.map { ($0.name, $0.number) })
        names = Dictionary(values.map { ($0.number, $0.name) }) { first, _ in first }
    }
}

/// The messages of the services and which method takes and gives which.
struct GatewaySchema: Sendable {
    static let etcd = GatewaySchema(GatewaySchemaText.text)

    private(set) var messages: [String: GatewayMessage] = [:]
    /// By the path of a gRPC request.
    private(set) var methods: [String: (request: GatewayMessage, response: GatewayMessage)] = [:]

    /// Reads a text as in `GatewaySchemaText`, which is ours: it is not checked much.
    init(_ text: String) {
        let lines = text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        var enumerations: [String: GatewayEnumeration] = [:]
        for words in lines {
            if words[0] == "message" { messages[words[1]] = GatewayMessage(name: words[1]) }
            if words[0] == "enum" {
                let values = words.dropFirst(2).map { word -> (name: String, number: Int32) in
                    let parts = word.split(separator: "=")
                    return (String(parts[0]), Int32(parts[1])!)
                }
                enumerations[words[1]] = GatewayEnumeration(name: words[1], values: values)
            }
        }
        var current: GatewayMessage?
        for words in lines {
            switch words[0] {
            case "enum": break
            case "message": current = messages[words[1]]
            case "rpc": methods[words[1]] = (messages[words[2]]!, messages[words[3]]!)
            default:
                let kind = GatewaySchema.kind(words.last!, messages, enumerations)
                current!.add(
                    GatewayField(
                        number: UInt64(words[0])!, name: words[1], isRepeated: words.contains("repeated"),
                        isInOneof: words.contains("oneof"), kind: kind))
            }
        }
    }

    private static func kind(
        _ type: String, _ messages: [String: GatewayMessage], _ enumerations: [String: GatewayEnumeration]
    ) -> GatewayKind {
        switch type {
        case "bool": .bool
        case "int32": .int32
        case "int64": .int64
        case "uint32": .uint32
        case "uint64": .uint64
        case "string": .string
        case "bytes": .bytes
        default: enumerations[type].map { .enumeration($0) } ?? .message(messages[type]!)
        }
    }
}

extension GatewayMessage {
    fileprivate func add(_ field: GatewayField) {
        let slot = fields.count
        fields.append(field)
        slotsByNumber[Int(field.number)] = slot
        slots[field.name] = (slot, false)
        // Where both names are the same, either means the preferred one.
        slots[Self.preferredName(field.name)] = (slot, true)
    }

    /// `prev_kv` becomes `prevKv`.
    private static func preferredName(_ name: String) -> String {
        var result = ""
        var isRaised = false
        for character in name {
            if character == "_" {
                isRaised = true
            } else {
                result += isRaised ? character.uppercased() : String(character)
                isRaised = false
            }
        }
        return result
    }
}
