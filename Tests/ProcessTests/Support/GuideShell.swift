import Foundation
import T4Conformance
import Testing

/// Runs the commands of a guide as they are written there, by a shell that finds `etcdctl`. Only places and ports are
/// other ones.
struct GuideShell {
    /// What a guide shows of one command.
    struct Step {
        /// All of its lines.
        var command: String
        /// Its standard output; of one that asks at a terminal, the last line.
        var output = ""
        /// The error, for one that must fail.
        var refusal: String?
    }

    private let bin: URL
    /// What stands in the guide, and what it is here.
    private var places: [(there: String, here: String)] = []

    /// - Parameter folder: Where the shell keeps what it finds commands in.
    init(in folder: URL) throws {
        bin = folder.appending(path: "bin")
        try FileManager.default.createDirectory(at: bin, withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            atPath: bin.appending(path: "etcdctl").path, withDestinationPath: TestEnvironment.tool("etcdctl"))
    }

    mutating func replace(_ there: String, with here: String) { places.append((there, here)) }

    /// Reads steps: a command is the lines from one that begins with `$ ` on, as long as they end with a backslash; the
    /// lines behind it are its output, or the error it must fail with, behind `! `.
    static func steps(_ text: String) -> [Step] {
        var steps: [Step] = []
        for line in text.split(separator: "\n") {
            if line.hasPrefix("$ ") {
                steps.append(Step(command: String(line.dropFirst(2))))
            } else if let last = steps.indices.last {
                if steps[last].command.hasSuffix("\\") {
                    steps[last].command += "\n\(line)"
                } else if line.hasPrefix("! ") {
                    steps[last].refusal = String(line.dropFirst(2))
                } else {
                    steps[last].output += "\(line)\n"
                }
            }
        }
        return steps
    }

    /// The options behind `t4 run` and the dots of a guide.
    func options(_ command: String) throws -> [String] {
        let lines = command.split(separator: "\n").map { $0.prefix { $0 != "#" } }
        let words = here(lines.joined(separator: " ")).split { $0 == " " || $0 == "\\" }.map(String.init)
        guard words.starts(with: ["t4", "run", "..."]) else { throw ProcessFailure("no start of a node: \(command)") }
        return Array(words.dropFirst(3))
    }

    /// Runs a step and checks that it gives what the guide shows.
    ///
    /// - Parameter password: What is typed where the command asks for one, and again for confirmation.
    func run(
        _ step: Step, password: String? = nil, at location: SourceLocation = #_sourceLocation,
    ) async throws {
        var environment = TestEnvironment.forChildren
        environment["PATH"] = "\(bin.path):\(environment["PATH"] ?? "")"
        environment["SHELL"] = "/bin/sh"
        // A busy machine is no failure.
        environment["ETCDCTL_COMMAND_TIMEOUT"] = "300s"
        environment["ETCDCTL_DIAL_TIMEOUT"] = "300s"
        if !step.command.contains("--endpoints") { environment["ETCDCTL_ENDPOINTS"] = here("localhost:3379") }
        let command = here(step.command)
        let shell = password == nil ? ["/bin/sh", "-c", command] : ["/usr/bin/script", "-qefc", command, "/dev/null"]
        let process = try ChildProcess(shell[0], Array(shell.dropFirst()), environment: environment)
        if let password {
            for prompt in ["Password of ", "again for confirmation: "] {
                try await process.output.untilSaid(prompt)
                process.write(Array("\(password)\n".utf8))
            }
        }
        let status = try await process.wait(within: .seconds(600))
        var output = process.output.value.description
        if password != nil {
            output = output.split(whereSeparator: \.isNewline).suffix(1).map { "\($0)\n" }.joined()
        }
        let said = "\(step.command): \(process.output.value)\(process.errors.value)"
        #expect(output == step.output, "\(said)", sourceLocation: location)
        #expect((status == .code(0)) == (step.refusal == nil), "\(said)", sourceLocation: location)
        if let refusal = step.refusal {
            #expect(process.errors.value.description.contains(refusal), "\(said)", sourceLocation: location)
        }
    }

    private func here(_ text: String) -> String {
        places.reduce(text) { $0.replacing($1.there, with: $1.here) }
    }
}
