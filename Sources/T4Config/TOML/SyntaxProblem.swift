/// What the parser says about a text that is no TOML, in words that help who wrote it.
struct SyntaxProblem {
    /// The file's name for messages, and its text.
    let file: String
    let text: String
    /// Where the keys of the text are.
    let positions: KeyPositions

    /// - Parameters:
    ///   - said: The parser's message: `Error while parsing string: unknown escape sequence '\d'`.
    ///   - line: Where it stopped, from 1.
    ///   - column: From 1.
    func problem(said: String, line: Int, column: Int) -> ConfigurationError.Problem {
        let message = String(said.split(whereSeparator: \.isNewline).first ?? "syntax error")
        let place = KeyPositions.Position(line: line, column: column)
        // Everything before the place has been accepted, so the keys there are those that the parser saw.
        let isHeader = message.hasPrefix("Error while parsing table header")
        let key = positions.key(before: isHeader ? .init(line: line, column: .max) : place)
        func problem(
            _ reason: String, _ hint: String? = nil, at place: KeyPositions.Position = place
        ) -> ConfigurationError.Problem {
            .init(
                at: .file(file, line: place.line, column: place.column),
                key: key.map { $0.path.map(tomlKey).joined(separator: ".") }, reason: reason, hint: hint)
        }
        let parts = message.split(separator: ": ", maxSplits: 1)
        guard parts.count == 2, let thing = parts[0].split(separator: "Error while parsing ").last else {
            return problem(message)
        }
        if parts[1].hasPrefix("cannot redefine existing"), let key, let first = positions[key.path] {
            return problem("it stands here for the second time", "first in line \(first.line)", at: key.position)
        }
        if thing == "string", isLineEnd(at: place) {
            return problem("the text is not closed in its line", "end it with a quote")
        }
        let article = "aeiou".contains(thing.first ?? "x") ? "an" : "a"
        // The parser may quote the value.
        if key?.path.contains(where: Secret.isNamed(byKey:)) == true {
            return problem("syntax error in \(article) \(thing)")
        }
        return problem("syntax error in \(article) \(thing): \(parts[1])", hint(thing, parts[1]))
    }

    private func hint(_ thing: Substring, _ detail: Substring) -> String? {
        if thing.hasSuffix("integer") || thing.hasPrefix("floating"), detail.hasPrefix("expected digit") {
            return "sizes, durations and other texts stand in quotes: \"50MiB\", \"10s\""
        }
        if detail == "expected '=', saw ':'" { return "write = between key and value" }
        if thing == "boolean" { return "write true or false, or put a text in quotes" }
        if detail.hasPrefix("could not determine value type") { return "put a text in quotes" }
        if detail.hasPrefix("unknown escape sequence") {
            return "write \\\\ for a backslash, or put the text in single quotes"
        }
        return nil
    }

    private func isLineEnd(at place: KeyPositions.Position) -> Bool {
        let lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
        guard place.line <= lines.count else { return true }
        return lines[place.line - 1].count < place.column
            || lines[place.line - 1].dropFirst(place.column - 1).first == "\r"
    }
}
