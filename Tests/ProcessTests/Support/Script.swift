import EtcdAPI
import Foundation

/// A list of etcdctl commands, read from a file. `Scripts/README.md` describes the language.
struct Script: Sendable {
    /// How the results of a command are compared.
    enum Comparison: Sendable {
        /// Output, errors and exit code, after `Normalizer`.
        case exact
        /// As exact, with every number replaced too.
        case shape
        /// The exit code alone.
        case exitCode
    }

    enum Action: Sendable {
        case run(words: [[UInt8]], input: [UInt8], comparison: Comparison)
        case start(name: String, words: [[UInt8]])
        case wait(name: String, text: String)
        case send(name: String, line: String)
        case close(name: String)
        case end(name: String, signal: Int32)
        case join(name: String)
        case capture(variable: String, pattern: String, from: String?)
        case server(name: String)
        /// Raises an alarm, which etcdctl cannot; without a member for the server itself.
        case raise(EtcdAlarmType, member: UInt64?)
    }

    struct Step: Sendable {
        let line: Int
        /// The line as it stands in the file.
        let text: String
        let action: Action
    }

    let name: String
    let steps: [Step]
    /// True when it takes minutes and runs only on request.
    let isSlow: Bool

    /// The names of all scripts, in order.
    static let names: [String] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: TestEnvironment.scripts.path)) ?? []
        return files.filter { $0.hasSuffix(".script") }.map { String($0.dropLast(".script".count)) }.sorted()
    }()

    init(named name: String) throws {
        let file = TestEnvironment.scripts.appending(path: name + ".script")
        try self.init(name: name, text: String(contentsOf: file, encoding: .utf8))
    }

    init(name: String, text: String) throws {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)[...]
        var steps: [Step] = []
        var isSlow = false
        let count = lines.count
        while let line = lines.popFirst() {
            let number = count - lines.count
            if line.isEmpty || line.hasPrefix("#") { continue }
            if line == "slow" {
                isSlow = true
                continue
            }
            do {
                steps.append(Step(line: number, text: line, action: try Script.action(of: line, following: &lines)))
            } catch let error as ScriptError {
                throw ScriptError("\(name).script:\(number): \(error.description)")
            }
        }
        self.name = name
        self.steps = steps
        self.isSlow = isSlow
    }
}

/// A script is not written as it must be, or its commands did something it does not provide for.
struct ScriptError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

extension Script {
    private static func action(of line: String, following: inout ArraySlice<String>) throws -> Action {
        let (verb, rest) = split(line)
        switch verb {
        case "$", "~", "?":
            let (command, input) = try inputOf(rest, following: &following)
            let comparison: Comparison = verb == "$" ? .exact : verb == "~" ? .shape : .exitCode
            return .run(words: try words(of: command), input: input, comparison: comparison)
        case "&":
            let (name, command) = split(rest)
            return .start(name: name, words: try words(of: command))
        case "wait":
            let (name, text) = split(rest)
            return .wait(name: name, text: text)
        case "send":
            let (name, text) = split(rest)
            return .send(name: name, line: text)
        case "close": return .close(name: rest)
        case "interrupt": return .end(name: rest, signal: SIGINT)
        case "join": return .join(name: rest)
        case "server": return .server(name: rest)
        case "raise":
            let (name, member) = split(rest)
            guard let type = ["NOSPACE": EtcdAlarmType.nospace, "CORRUPT": .corrupt][name] else {
                throw ScriptError("there is no alarm '\(name)'")
            }
            guard !member.isEmpty else { return .raise(type, member: nil) }
            guard let number = UInt64(member) else { throw ScriptError("'\(member)' is no member") }
            return .raise(type, member: number)
        case "let":
            let (variable, pattern) = split(rest)
            guard pattern.hasPrefix("from ") else { return .capture(variable: variable, pattern: pattern, from: nil) }
            let (name, fromPattern) = split(String(pattern.dropFirst("from ".count)))
            return .capture(variable: variable, pattern: fromPattern, from: name)
        default: throw ScriptError("unknown verb '\(verb)'")
        }
    }

    private static func split(_ text: String) -> (first: String, rest: String) {
        let parts = text.split(separator: " ", maxSplits: 1)
        return (parts.first.map(String.init) ?? "", parts.count > 1 ? String(parts[1]) : "")
    }

    /// Takes `<<END` with the lines up to END, or `<* COUNT TEXT`, off the end of a command.
    private static func inputOf(
        _ command: String, following lines: inout ArraySlice<String>,
    ) throws -> (command: String, input: [UInt8]) {
        if let mark = command.range(of: " <* ") {
            let (count, text) = split(String(command[mark.upperBound...]))
            guard let count = Int(count) else { throw ScriptError("'<*' needs a count") }
            return (String(command[..<mark.lowerBound]), Array(String(repeating: text, count: count).utf8))
        }
        guard let mark = command.range(of: " <<") else { return (command, []) }
        let end = command[mark.upperBound...]
        var input = ""
        while true {
            guard let line = lines.popFirst() else { throw ScriptError("the input has no end line '\(end)'") }
            if line == end { break }
            // `@repeat N text` stands for N lines, with {i} as the number of the line.
            guard line.hasPrefix("@repeat ") else {
                input += line + "\n"
                continue
            }
            let (count, text) = split(String(line.dropFirst("@repeat ".count)))
            guard let count = Int(count) else { throw ScriptError("'@repeat' needs a count") }
            for number in 0..<count { input += text.replacing("{i}", with: String(number)) + "\n" }
        }
        return (String(command[..<mark.lowerBound]), Array(input.utf8))
    }

    /// Splits a command into words: `'...'` is taken as it is, `"..."` knows `\xNN`, `\n`, `\t`, `\"` and `\\`.
    static func words(of command: String) throws -> [[UInt8]] {
        var words: [[UInt8]] = []
        var word: [UInt8]?
        var rest = Array(command.utf8)[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: " "):
                if let finished = word { words.append(finished) }
                word = nil
            case UInt8(ascii: "'"):
                guard let end = rest.firstIndex(of: byte) else { throw ScriptError("a ' is not closed") }
                word = (word ?? []) + rest[..<end]
                rest = rest[(end + 1)...]
            case UInt8(ascii: "\""): word = (word ?? []) + (try quoted(&rest))
            default: word = (word ?? []) + [byte]
            }
        }
        if let finished = word { words.append(finished) }
        return words
    }

    private static func quoted(_ rest: inout ArraySlice<UInt8>) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\"") { return bytes }
            guard byte == UInt8(ascii: "\\") else {
                bytes.append(byte)
                continue
            }
            switch rest.popFirst() {
            case UInt8(ascii: "n"): bytes.append(0x0a)
            case UInt8(ascii: "t"): bytes.append(0x09)
            case UInt8(ascii: "x"):
                let digits = String(decoding: rest.prefix(2), as: UTF8.self)
                guard let value = UInt8(digits, radix: 16), value != 0 else { throw ScriptError("bad \\x\(digits)") }
                bytes.append(value)
                rest = rest.dropFirst(2)
            case .some(let other): bytes.append(other)
            case nil: throw ScriptError("a \\ at the end")
            }
        }
        throw ScriptError("a \" is not closed")
    }
}
