import FoundationEssentials

/// Tells objects that a later version of t4 has written from damaged ones: what every format version keeps so that it can be
/// told. `docs/formats.md`, "Later formats".
enum LaterFormat {
    /// The error for a sealed object, or the object `database`, of a later version; nil where the bytes are anything else.
    static func ofSealed(_ bytes: [UInt8], name: String, known: Int) -> CheckpointError? {
        guard case .members(var members)? = JSONValue(canonical: bytes), case .text(let sum)? = members["sum"] else {
            return nil
        }
        members["sum"] = .text("")
        return error(members, name, known) { try CanonicalJSON.hash(JSONValue.members(members)) == sum }
    }

    /// The same for a checkpoint.
    static func ofManifest(_ bytes: [UInt8], name: String, known: Int) -> CheckpointError? {
        guard case .members(let members)? = JSONValue(canonical: bytes),
            case .members(let checkpoint)? = members["checkpoint"], let envelope = members["envelope"],
            case .text(let id)? = members["id"], case .text(let sum)? = members["sum"]
        else { return nil }
        return error(checkpoint, name, known) {
            try CanonicalJSON.hash(JSONValue.members(checkpoint)) == id && ManifestFile.sum(id, envelope) == sum
        }
    }

    private static func error(
        _ members: [String: JSONValue], _ name: String, _ known: Int, _ isIntact: () throws -> Bool
    ) -> CheckpointError? {
        guard case .number(let format)? = members["format"], format > known else { return nil }
        do {
            guard try isIntact() else { return nil }
        } catch {
            // What cannot be encoded again was never written.
            return nil
        }
        return .laterVersion(name, has: "format \(format)", known: "\(known)")
    }
}

/// A value of canonical JSON whose members are not known.
private enum JSONValue: Codable {
    case number(Int64)
    case large(UInt64)
    case flag(Bool)
    case text(String)
    case list([JSONValue])
    case members([String: JSONValue])

    /// Nil where the bytes are not the encoding of a value.
    init?(canonical bytes: [UInt8]) {
        do {
            self = try CanonicalJSON.decode(JSONValue.self, bytes, name: "")
        } catch {
            return nil
        }
    }

    init(from decoder: any Decoder) throws {
        if let container = try JSONValue.attempt({ try decoder.container(keyedBy: Name.self) }) {
            let members = try container.allKeys.map {
                ($0.stringValue, try container.decode(JSONValue.self, forKey: $0))
            }
            self = .members(Dictionary(members) { first, _ in first })
        } else if var container = try JSONValue.attempt({ try decoder.unkeyedContainer() }) {
            var list: [JSONValue] = []
            while !container.isAtEnd { list.append(try container.decode(JSONValue.self)) }
            self = .list(list)
        } else {
            let container = try decoder.singleValueContainer()
            if let number = try JSONValue.attempt({ try container.decode(Int64.self) }) {
                self = .number(number)
            } else if let number = try JSONValue.attempt({ try container.decode(UInt64.self) }) {
                self = .large(number)
            } else if let flag = try JSONValue.attempt({ try container.decode(Bool.self) }) {
                self = .flag(flag)
            } else {
                self = .text(try container.decode(String.self))
            }
        }
    }

    func encode(to encoder: any Encoder) throws {
        switch self {
        case .number(let value): try value.encode(to: encoder)
        case .large(let value): try value.encode(to: encoder)
        case .flag(let value): try value.encode(to: encoder)
        case .text(let value): try value.encode(to: encoder)
        case .list(let value): try value.encode(to: encoder)
        case .members(let value): try value.encode(to: encoder)
        }
    }

    /// Nil where the value is of another kind.
    private static func attempt<Value>(_ body: () throws -> Value) throws -> Value? {
        do {
            return try body()
        } catch is DecodingError {
            return nil
        }
    }

    private struct Name: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }
}
