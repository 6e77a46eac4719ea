import Testing

@testable import T4Server

/// Goal: the gateway knows every message as `Protos` defines it. Method: both are read and compared.
struct GatewaySchemaTests {
    @Test func matchesDefinitions() throws {
        var defined: Set<String> = []
        for text in try WireDefinitions.texts() {
            guard !text.contains("package grpc.") else { continue }
            defined.formUnion(Definitions(text).lines)
        }
        #expect(defined.count > 300)
        let known = Set(Self.lines(GatewaySchemaText.text))
        #expect(known.subtracting(defined).sorted() == [])
        #expect(defined.subtracting(known).sorted() == [])
    }

    /// Every line with where it stands; types without their packages, which a definition may leave out.
    private static func lines(_ text: String) -> [String] {
        var message = ""
        return text.split(separator: "\n").flatMap { line -> [String] in
            var words = line.split(separator: " ").map(String.init)
            switch words[0] {
            case "message":
                message = words[1]
                return []
            case "enum": return words.dropFirst(2).map { "\(words[1]) \($0)" }
            case "rpc": return ["\(words[1]) \(last(words[2])) \(last(words[3]))"]
            default:
                words[words.count - 1] = last(words[words.count - 1])
                return ["\(message) \(words.joined(separator: " "))"]
            }
        }
    }

    private static func last(_ name: String) -> String { String(name.split(separator: ".").last ?? "") }

    /// A reader of the definitions that knows just as much of the language as they use.
    private struct Definitions {
        private(set) var lines: [String] = []

        init(_ text: String) {
            var package = ""
            var scopes: [(kind: String, name: String)] = []
            for line in text.split(separator: "\n") {
                let words = line.prefix { $0 != "/" }.split(whereSeparator: { " ();=".contains($0) }).map(String.init)
                guard let first = words.first else { continue }
                let place = ([package] + scopes.filter { $0.kind != "oneof" }.map(\.name)).joined(separator: ".")
                switch first {
                case "syntax", "import", "option": break
                case "package": package = words[1]
                case "message", "enum", "oneof", "service":
                    if !line.contains("}") { scopes.append((first, words[1])) }
                case "}": scopes.removeLast()
                case "rpc":
                    let types = words.filter { !["rpc", "returns", "stream"].contains($0) }.map(GatewaySchemaTests.last)
                    lines.append("/\(place)/\(words[1]) \(types[1]) \(types[2])")
                default:
                    let kind = scopes.last?.kind
                    if kind == "enum" {
                        lines.append("\(place) \(words[0])=\(words[1])")
                    } else {
                        let isRepeated = first == "repeated"
                        let rest = isRepeated ? Array(words.dropFirst()) : words
                        let mark = isRepeated ? "repeated " : kind == "oneof" ? "oneof " : ""
                        lines.append("\(place) \(rest[2]) \(rest[1]) \(mark)\(GatewaySchemaTests.last(rest[0]))")
                    }
                }
            }
        }
    }
}
