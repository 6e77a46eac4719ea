/// One thing that a client does, printed as one line of a script: `Put key: "a" value: "1"`,
/// `Watch#1 create_request { key: "a" }`, `Put@alice key: "a"`.
struct Step: Hashable, Sendable {
    var verb: Verb
    /// The watch stream it is for.
    var stream: Int?
    /// Whose token goes with it; nil: nobody's.
    var user: String?
    var fields: [TextField]

    init(_ verb: Verb, stream: Int? = nil, as user: String? = nil, _ fields: [TextField] = []) {
        self.verb = verb
        self.user = user
        self.stream = stream
        self.fields = fields
    }

    /// Reads a line.
    init(_ line: String) throws {
        let parts = line.split(separator: " ", maxSplits: 1)
        let head = (parts.first ?? "").split(separator: "#", maxSplits: 1)
        let name = (head.first ?? "").split(separator: "@", maxSplits: 1)
        guard let verb = name.first.flatMap({ Verb(rawValue: String($0)) }) else {
            throw TextSyntaxError(description: "'\(line)' begins with no verb")
        }
        let stream = head.count > 1 ? Int(head[1]) : nil
        guard (stream != nil) == verb.isForStream else {
            throw TextSyntaxError(description: "'\(line)': a number belongs to Watch, WatchEnd and calls that wait")
        }
        do {
            self.init(
                verb, stream: stream, as: name.count > 1 ? String(name[1]) : nil,
                try [TextField](text: parts.count > 1 ? parts[1] : ""))
        } catch let error as TextSyntaxError {
            throw TextSyntaxError(description: "'\(line)': \(error.description)")
        }
    }

    /// Reads a script: a step on each line, `#` begins a comment line.
    static func script(_ text: String) throws -> [Step] {
        try text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { try Step(String($0)) }
    }

    /// Steps that do less than this one: each lacks a field, or has an empty string for a long one.
    var simpler: [Step] {
        fields.simpler.map { Step(verb, stream: stream, as: user, $0) }
    }
}

extension Step: Shrinkable {}

extension Step: CustomStringConvertible {
    var description: String {
        let head = verb.rawValue + (user.map { "@\($0)" } ?? "") + (stream.map { "#\($0)" } ?? "")
        return fields.isEmpty ? head : head + " " + fields.text
    }
}

extension [TextField] {
    fileprivate var simpler: [[TextField]] {
        var result: [[TextField]] = []
        for index in indices {
            var without = self
            without.remove(at: index)
            result.append(without)
        }
        for index in indices {
            for inner in self[index].fields.simpler {
                var changed = self
                changed[index].value = .message(inner)
                result.append(changed)
            }
        }
        return result
    }
}
