import EtcdAPI
import Foundation
import Synchronization

/// What one command of a script did, normalized.
struct StepResult: Sendable, Equatable {
    let line: Int
    let command: String
    let output: String
    let errors: String
    let status: ExitStatus
}

/// Runs a script against one server and collects what its commands do.
struct ScriptRun {
    private let script: Script
    private let kind: ServerUnderTest.Kind
    private let folder: URL
    private var servers: [String: ServerUnderTest] = [:]
    private var background: [String: Background] = [:]
    private var variables: [String: String] = [:]
    private var normalizer = Normalizer()
    private var lastOutput = ""
    private var results: [StepResult] = []

    private struct Background {
        let process: ChildProcess
        let step: Script.Step
        /// How many bytes of its output were looked at by `wait`.
        var seen = 0
    }

    /// Runs all steps of `script` against a fresh server of `kind`.
    ///
    /// - Throws: when a step cannot be carried out, for example because the line it waits for does not come.
    static func results(of script: Script, on kind: ServerUnderTest.Kind) async throws -> [StepResult] {
        try await withTemporaryDirectory { folder in
            var run = ScriptRun(script: script, kind: kind, folder: folder)
            let outcome: Result<Void, any Error>
            do {
                outcome = .success(try await run.all())
            } catch {
                outcome = .failure(error)
            }
            for child in run.background.values { await child.process.destroy() }
            for server in run.servers.values { await server.crash() }
            try outcome.get()
            return run.results
        }
    }

    private init(script: Script, kind: ServerUnderTest.Kind, folder: URL) {
        self.script = script
        self.kind = kind
        self.folder = folder
    }

    private mutating func all() async throws {
        try await startServer("")
        for step in script.steps {
            do {
                try await perform(step)
            } catch {
                throw ScriptError("\(kind), \(script.name).script:\(step.line): \(step.text)\n\(error)")
            }
        }
        guard background.isEmpty else { throw ScriptError("left running: \(background.keys.sorted())") }
    }

    private mutating func startServer(_ name: String) async throws {
        // Both know this flag; hashes of the usual cost would be most of the time of a script with users.
        let server = try await ServerUnderTest.start(
            kind, dataDirectory: folder.appending(path: "data" + name), options: ["--bcrypt-cost", "4"])
        servers[name] = server
        let variable = name.isEmpty ? "ENDPOINT" : "ENDPOINT_" + name
        variables[variable] = server.address
        normalizer.names.append((server.address, "<\(variable)>"))
    }

    private mutating func perform(_ step: Script.Step) async throws {
        switch step.action {
        case .server(let name): try await startServer(name)
        case .raise(let type, let member):
            guard let server = servers[""] else { throw ScriptError("there is no server") }
            let client = try await EtcdClient.connect(to: server)
            let id = if let member { member } else { try await client.memberID() }
            _ = try await client.alarm(.activate, type, member: id)
            await client.close()
        case .run(let words, let input, let comparison):
            let process = try etcdctl(words)
            process.write(Array(substituted(readable(input)).utf8))
            process.closeInput()
            do {
                let status = try await process.wait()
                record(step, process, status, comparison)
            } catch {
                await process.destroy()
                throw error
            }
        case .start(let name, let words):
            guard background[name] == nil else { throw ScriptError("'\(name)' runs already") }
            background[name] = Background(process: try etcdctl(words), step: step)
        case .wait(let name, let text):
            let child = try child(name)
            let wanted = substituted(text)
            let end = try await child.process.output.wait(for: "a line with '\(wanted)'") { output in
                try lineEnd(with: wanted, in: output, after: child.seen)
            }
            background[name]?.seen = end
        case .send(let name, let line): try child(name).process.write(Array((substituted(line) + "\n").utf8))
        case .close(let name):
            try child(name).process.closeInput()
            try await join(name)
        case .end(let name, let signal):
            try child(name).process.signal(signal)
            try await join(name)
        case .join(let name): try await join(name)
        case .capture(let variable, let pattern, let name):
            let text = try name.map { try child($0).process.output.value.description } ?? lastOutput
            guard let match = try text.firstMatch(of: Regex(pattern)), match.output.count > 1 else {
                throw ScriptError("nothing matches in:\n\(text)")
            }
            variables[variable] = match.output[1].substring.map(String.init)
        }
    }

    private func child(_ name: String) throws -> Background {
        guard let child = background[name] else { throw ScriptError("'\(name)' does not run") }
        return child
    }

    private mutating func join(_ name: String) async throws {
        let child = try child(name)
        let status = try await child.process.wait()
        background[name] = nil
        record(child.step, child.process, status, .exact)
    }

    private func etcdctl(_ words: [[UInt8]]) throws -> ChildProcess {
        var arguments = words.map { word in
            // Only text can hold a variable; other bytes pass as they are.
            String(validating: word, as: UTF8.self).map { Array(substituted($0).utf8) } ?? word
        }
        let endpoints = Array("--endpoints".utf8)
        if !arguments.contains(where: { $0.starts(with: endpoints) }), let server = servers[""] {
            arguments = [endpoints, Array(server.address.utf8)] + arguments
        }
        return try ChildProcess(
            TestEnvironment.tool("etcdctl"), arguments, environment: TestEnvironment.forChildren)
    }

    /// Replaces `${NAME}` by the value of a variable.
    private func substituted(_ text: String) -> String {
        guard text.contains("${") else { return text }
        return variables.reduce(text) { $0.replacing("${\($1.key)}", with: $1.value) }
    }

    private mutating func record(
        _ step: Script.Step, _ process: ChildProcess, _ status: ExitStatus, _ comparison: Script.Comparison,
    ) {
        lastOutput = process.output.value.description
        let errors = process.errors.value.description
        let compared = comparison != .exitCode
        results.append(
            StepResult(
                line: step.line, command: step.text,
                output: compared ? normalizer.text(lastOutput, shapeOnly: comparison == .shape) : "",
                errors: compared ? normalizer.text(errors, shapeOnly: comparison == .shape) : "", status: status))
    }
}

/// The end of the first complete line behind `start` that contains `text`; nil while there is none.
private func lineEnd(with text: String, in output: Output, after start: Int) throws -> Int? {
    var position = start
    while let end = output.bytes[position...].firstIndex(of: UInt8(ascii: "\n")) {
        if readable(Array(output.bytes[position..<end])).contains(text) { return end + 1 }
        position = end + 1
    }
    if output.ended { throw ScriptError("it ended without that line; its output:\n\(output)") }
    return nil
}
