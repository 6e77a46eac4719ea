import Foundation
import T4Conformance
import Testing

/// What became of a `t4` command.
struct CommandRun {
    var status: ExitStatus
    var output: [UInt8]
    var errors: String

    /// Runs one to its end.
    static func run(_ arguments: [String], input: [UInt8]? = nil) async throws -> CommandRun {
        let process = try start(arguments)
        if let input { process.write(input) }
        process.closeInput()
        let status = try await process.wait()
        return CommandRun(
            status: status, output: process.output.value.bytes, errors: process.errors.value.description)
    }

    /// Runs one that has to succeed.
    /// - Returns: What it wrote to standard output, as JSON.
    static func report<Report: Decodable>(_ arguments: [String], _: Report.Type = Report.self) async throws -> Report {
        let outcome = try await run(arguments + ["--json"])
        try #require(outcome.status == .code(0), "\(arguments): \(outcome.errors)")
        return try JSONDecoder().decode(Report.self, from: Data(outcome.output))
    }

    static func expect(_ arguments: [String], endsWith code: Int32, saying text: String) async throws {
        let outcome = try await run(arguments)
        #expect(
            outcome.status == .code(code) && outcome.output.isEmpty && outcome.errors.contains(text),
            "\(arguments): \(outcome.errors)")
    }

    /// Starts one and kills it somewhere on its way, told by what it has read or written by then.
    static func killed(_ arguments: [String], _ random: inout SeededGenerator) async throws -> ExitStatus {
        let process = try start(arguments)
        let goal = UInt64.random(in: 0...12_000_000, using: &random)
        while FileManager.default.fileExists(atPath: "/proc/\(process.pid)/io"), moved(process) < goal {
            await Task.yield()
        }
        process.signal(SIGKILL)
        return try await process.wait()
    }

    private static func start(_ arguments: [String]) throws -> ChildProcess {
        try ChildProcess(TestEnvironment.t4Binary(), arguments, environment: TestEnvironment.forChildren)
    }

    private static func moved(_ process: ChildProcess) -> UInt64 {
        let text = (try? String(contentsOfFile: "/proc/\(process.pid)/io", encoding: .utf8)) ?? ""
        let numbers = text.split(separator: "\n").filter { $0.hasPrefix("rchar") || $0.hasPrefix("wchar") }
            .compactMap { $0.split(separator: " ").last.flatMap { UInt64($0) } }
        return numbers.isEmpty ? .max : numbers.reduce(0, +)
    }
}
