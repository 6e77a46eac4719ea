/// What a client does with one connection, as bytes: one request, or some, one behind the other.
struct WebStep: Hashable, Sendable {
    /// `{token NAME}` stands for the newest token of a user.
    var requests: [String]
    /// Lines to read of an answer that does not end; nil for all until the server closes.
    var lineCount: Int?

    init(_ requests: [String], lineCount: Int? = nil) {
        self.requests = requests
        self.lineCount = lineCount
    }

    /// Reads what `description` writes.
    init(_ line: Substring) throws {
        var rest = line
        if let space = rest.firstIndex(of: " "), let count = Int(rest[..<space]) {
            lineCount = count
            rest = rest[space...].dropFirst()
        }
        requests = []
        while !rest.isEmpty {
            guard rest.popFirst() == "\"" else {
                throw TextSyntaxError(description: "'\(line)': a request is no string")
            }
            var text = ""
            while let character = rest.popFirst(), character != "\"" {
                guard character == "\\" else {
                    text.append(character)
                    continue
                }
                switch rest.popFirst() {
                case "r": text += "\r"
                case "n": text += "\n"
                case "x":
                    text.unicodeScalars.append(Unicode.Scalar(UInt8(rest.prefix(2), radix: 16) ?? 0))
                    rest = rest.dropFirst(2)
                case let other: text += other.map(String.init) ?? ""
                }
            }
            requests.append(text)
            rest = rest.drop { $0 == " " }
        }
    }

    /// The bytes: each character is one.
    func bytes(token: (String) -> String?) -> [UInt8] {
        requests.joined().replacing(/\{token (?<user>[a-z]+)\}/) { token(String($0.output.user)) ?? "none" }
            .unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
    }

    /// The methods of the requests.
    var methods: [String] { requests.map { String($0.prefix { $0 != " " }) } }
}

extension WebStep: CustomStringConvertible {
    var description: String {
        let texts = requests.map { request in
            var text = "\""
            for scalar in request.unicodeScalars {
                switch scalar {
                case "\"", "\\": text += "\\\(scalar)"
                case "\r": text += "\\r"
                case "\n": text += "\\n"
                case " "..."~": text.unicodeScalars.append(scalar)
                default:
                    let digits = String(scalar.value, radix: 16)
                    text += "\\x" + (digits.count < 2 ? "0" : "") + digits
                }
            }
            return text + "\""
        }
        return ((lineCount.map { ["\($0)"] } ?? []) + texts).joined(separator: " ")
    }
}
