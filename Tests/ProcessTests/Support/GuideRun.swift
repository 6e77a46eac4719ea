import Foundation
import T4Conformance
import Testing

/// Runs the commands of a guide one after the other, on one store.
struct GuideRun {
    /// A line of `t4 restore list`.
    struct Checkpoint: Equatable {
        var key: String
        var revision: Int64
        var isLatest: Bool
    }

    let place: StorePlace
    let folder: URL

    init(_ kind: StorePlace.Kind, in folder: URL) async throws {
        self.folder = folder
        place = try await StorePlace(kind, in: folder)
    }

    /// Runs guides, one for each test, in folders of their own.
    static func with(_ kind: StorePlace.Kind, _ body: @Sendable (GuideRun) async throws -> Void) async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { try await body(try await GuideRun(kind, in: $0)) }
        }
    }

    func data(_ name: String) -> URL { folder.appending(path: name) }

    // MARK: - t4

    /// Runs a command that must succeed.
    /// - Returns: What it printed.
    @discardableResult
    func t4(_ arguments: [String], _ location: SourceLocation = #_sourceLocation) async throws -> String {
        let (status, output, errors) = try await ended(arguments)
        try #require(status == .code(0) && errors == "", "\(arguments): \(errors)", sourceLocation: location)
        return output
    }

    /// Runs a command that must fail, without a result.
    func expectFailure(
        _ arguments: [String], code: Int32 = 1, saying texts: String..., at location: SourceLocation = #_sourceLocation
    ) async throws {
        let (status, output, errors) = try await ended(arguments)
        #expect(status == .code(code) && output == "", "\(arguments): \(output)\(errors)", sourceLocation: location)
        for text in texts { #expect(errors.contains(text), "\(errors)", sourceLocation: location) }
    }

    /// Runs a command to its end.
    func ended(_ arguments: [String]) async throws -> (status: ExitStatus, output: String, errors: String) {
        let environment = TestEnvironment.forChildren.merging(place.environment) { $1 }
        let process = try ChildProcess(TestEnvironment.t4Binary(), arguments, environment: environment)
        let status = try await process.wait()
        return (status, process.output.value.description, process.errors.value.description)
    }

    /// `t4 restore list`.
    func checkpoints(_ prefix: String) async throws -> [Checkpoint] {
        let lines = try await t4(["restore", "list"] + place.flags(prefix)).split(separator: "\n")
        try #require(lines.first?.wholeMatch(of: /CHECKPOINT +REVISION +TERM/) != nil, "\(lines)")
        return try lines.dropFirst().map { line in
            let form = /(checkpoint\/\d{10}\/\d{20}\/manifest\.json) +(\d+) +(\d+)(  \(latest\))?/
            let match = try #require(try form.wholeMatch(in: line), "\(line)")
            return Checkpoint(
                key: String(match.1), revision: try #require(Int64(match.2)), isLatest: match.4 != nil)
        }
    }

    /// Waits until the newest checkpoint is that of a revision: a node makes one at its start, beside its other work.
    func waitForCheckpoint(_ prefix: String, of revision: Int64) async throws -> String {
        for _ in 0..<500 {
            let text = try await t4(["status"] + place.flags(prefix))
            guard text.contains("  revision: \(revision)\n") else { continue }
            return try #require(text.firstMatch(of: /key: (\S+)/).map { String($0.1) })
        }
        throw ProcessFailure("there is no checkpoint of revision \(revision) below \(prefix)")
    }

    // MARK: - Nodes

    /// Starts `t4 run`, on the store where a prefix is given. Only commands collect, so that a test knows what is there.
    func run(_ directory: String, _ prefix: String? = nil, _ options: [String] = []) async throws -> ServerUnderTest {
        try await ServerUnderTest.start(
            .t4(engine: nil), dataDirectory: data(directory),
            options: (prefix.map(place.flags) ?? []) + ["--checkpoint-collect=false"] + options,
            environment: place.environment)
    }

    /// Runs a node for as long as the body.
    func run<Result>(
        _ directory: String, _ prefix: String? = nil, _ options: [String] = [],
        _ body: (ServerUnderTest) async throws -> Result
    ) async throws -> Result {
        let server = try await run(directory, prefix, options)
        let result = try await body(server)
        #expect(try await server.stop() == .code(0))
        return result
    }

    /// Runs a node and checks which keys clients find.
    func expect(
        _ numbers: [Int], in directory: String, _ prefix: String? = nil, at location: SourceLocation = #_sourceLocation
    ) async throws {
        try await run(directory, prefix) { server in
            let found = try await keys(server)
            #expect(found == numbers, sourceLocation: location)
        }
    }

    func put(_ server: ServerUnderTest, _ numbers: ClosedRange<Int>) async throws {
        for number in numbers {
            _ = try await SnapshotTools.run(
                "etcdctl", "--endpoints=\(server.address)", "put", "/app/\(number)", "value \(number)")
        }
    }

    /// `etcdctl get --prefix /`: what follows `/app/` of each key.
    func keys(_ server: ServerUnderTest) async throws -> [Int] {
        let text = try await SnapshotTools.run("etcdctl", "--endpoints=\(server.address)", "get", "--prefix", "/")
        let lines = text.split(separator: "\n").map(String.init)
        var numbers: [Int] = []
        for place in stride(from: 0, to: lines.count, by: 2) {
            let number = try #require(Int(lines[place].dropFirst("/app/".count)), "\(text)")
            #expect(lines[place + 1] == "value \(number)")
            numbers.append(number)
        }
        return numbers.sorted()
    }
}
