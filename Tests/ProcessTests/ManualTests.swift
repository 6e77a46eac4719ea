import Foundation
import T4Conformance
import Testing

/// Goal: man pages and completions lack no command and no flag. Method: what t4 says of itself in its help, read here in
/// another way than the scripts do, is looked for in what they make.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct ManualTests {
    @Test func everyCommandHasAPageWithItsFlags() async throws {
        let commands = try await describe()
        #expect(commands.count > 30)
        try await withTemporaryDirectory { folder in
            try await make("man-pages", ["--version", "1.2.3", "--date", "2026-01-02", folder.path])
            let settings = try await flagsOfHelp(["run", "--help"])
            #expect(settings.count > 90)
            for command in commands {
                let page = folder.appending(path: "\(command.words.joined(separator: "-")).1")
                let text = try String(contentsOf: page, encoding: .utf8)
                for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"] {
                    #expect(text.contains("\n.SH \(heading)\n"), "\(page.lastPathComponent): no \(heading)")
                }
                let flags = command.words == ["t4", "run"] ? settings : command.flags
                for flag in flags {
                    let entry = "\\fB\(flag.replacing("-", with: "\\-"))\\fR"
                    #expect(text.contains(entry), "\(page.lastPathComponent): no \(flag)")
                }
            }
            let keys = try String(contentsOf: folder.appending(path: "t4.toml.5"), encoding: .utf8)
            for key in ["data_dir", "map_size_max", "secret_access_key_file", "leadership_ttl"] {
                #expect(keys.contains("\\fB\(key)\\fR = "), "t4.toml.5: no \(key)")
            }
            let made = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            #expect(made.count == commands.count + 1, "a page of no command")
        }
    }

    /// Each shell has one place for each command; bash is also asked.
    @Test func everyShellKnowsEveryFlag() async throws {
        let commands = try await describe()
        try await withTemporaryDirectory { folder in
            try await make("completions", [folder.path])
            func text(_ name: String) throws -> String {
                try String(contentsOf: folder.appending(path: name), encoding: .utf8)
            }
            let (bash, zsh, fish) = (try text("t4.bash"), try text("_t4"), try text("t4.fish"))
            let settings = try await flagsOfHelp(["run", "--help"])
            for command in commands {
                let words = command.words.joined(separator: " ")
                let inBash = try section(of: bash, from: "\n    \"\(words)\")\n", to: ";;")
                let inZsh = try section(of: zsh, from: "\n_\(words.replacing(/[ -]/, with: "_"))() {\n", to: "\n}\n")
                let inFish = fish.split(separator: "\n").filter { $0.contains("'__t4_is_at \"\(words)\"'") }
                for flag in command.words == ["t4", "run"] ? settings : command.flags {
                    let words = inBash.split { " \"".contains($0) }
                    #expect(words.contains(flag[...]), "bash, \(command.words): no \(flag)")
                    let specs = ["'\(flag)=", "'\(flag)[", ")\(flag)["]
                    #expect(specs.contains { inZsh.contains($0) }, "zsh, \(command.words): no \(flag)")
                    let name = flag.hasPrefix("--") ? "-l \(flag.dropFirst(2)) " : "-s \(flag.dropFirst()) "
                    #expect(inFish.contains { $0.contains(name) }, "fish, \(command.words): no \(flag)")
                }
            }
            for (line, wanted) in [
                ("t4 restore ''", "file list checkpoint"), ("t4 run --data-d", "--data-dir"), ("t4 config sh", "show"),
                ("t4 run --log-format ''", "text json"), ("t4 run --log-format = j", "json"),
                ("t4 recover --acc", "--accept-data-loss"),
            ] {
                let script = """
                    source "$1"; COMP_WORDS=(\(line)); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _t4; echo "${COMPREPLY[*]}"
                    """
                let said = try await output(
                    of: "/bin/bash", ["-c", script, "bash", folder.appending(path: "t4.bash").path])
                #expect(said == "\(wanted)\n", "\(line)")
            }
        }
    }

    // MARK: - What t4 says of itself

    private struct Described {
        var words: [String]
        var flags: [String]
    }

    private struct Dump: Decodable {
        struct Command: Decodable {
            var commandName: String
            var subcommands: [Command]?
            var arguments: [Argument]?
        }
        struct Argument: Decodable {
            struct Name: Decodable {
                var kind: String
                var name: String
            }
            var names: [Name]?
            var shouldDisplay: Bool
        }
        var command: Command
    }

    /// All commands but `help`, which the argument parser adds.
    private func describe() async throws -> [Described] {
        let text = try await output(of: TestEnvironment.t4Binary(), ["--experimental-dump-help"])
        func walk(_ command: Dump.Command, _ above: [String]) -> [Described] {
            let words = above + [command.commandName]
            let flags = (command.arguments ?? []).filter(\.shouldDisplay).flatMap { $0.names ?? [] }.map {
                ($0.kind == "short" ? "-" : "--") + $0.name
            }
            let below = (command.subcommands ?? []).filter { $0.commandName != "help" }
            return [Described(words: words, flags: flags)] + below.flatMap { walk($0, words) }
        }
        return walk(try JSONDecoder().decode(Dump.self, from: Data(text.utf8)).command, [])
    }

    /// The flags that a help text lists, each at the start of an indented line.
    private func flagsOfHelp(_ arguments: [String]) async throws -> [String] {
        try await output(of: TestEnvironment.t4Binary(), arguments).split(separator: "\n").compactMap {
            $0.firstMatch(of: /^  (?<flag>--[a-z0-9-]+)/).map { String($0.flag) }
        }
    }

    /// Runs a script of `scripts/packages` on the dump.
    private func make(_ script: String, _ arguments: [String]) async throws {
        let scripts = TestEnvironment.root.appending(path: "scripts/packages").path
        let command = "\"$0\" --experimental-dump-help | python3 -B \"\(scripts)/\(script)\" \"$@\""
        _ = try await output(
            of: "/bin/bash", ["-o", "pipefail", "-c", command, TestEnvironment.t4Binary()] + arguments)
    }

    private func output(of program: String, _ arguments: [String]) async throws -> String {
        let process = try ChildProcess(program, arguments, environment: TestEnvironment.forChildren)
        let status = try await process.wait()
        try #require(status == .code(0), "\(arguments): \(process.errors.value)")
        return process.output.value.description
    }

    private func section(of text: String, from start: String, to end: String) throws -> Substring {
        let begin = try #require(text.firstRange(of: start), "no \(start)")
        let rest = text[begin.upperBound...]
        return rest[..<(rest.firstRange(of: end)?.lowerBound ?? rest.endIndex)]
    }
}
