import Foundation
import T4Conformance
import Testing

/// A folder in which a database moves from etcd to t4 and back.
struct EtcdMove: Sendable {
    let folder: URL

    static func with(_ body: @Sendable (EtcdMove) async throws -> Void) async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { try await body(EtcdMove(folder: $0)) }
        }
    }

    func path(_ name: String) -> URL { folder.appending(path: name) }

    var names: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() }
    }

    func etcd(_ name: String = "etcd") async throws -> ServerUnderTest {
        try await ServerUnderTest.start(.etcd, dataDirectory: path(name))
    }

    func run(_ name: String, _ options: [String] = []) async throws -> ServerUnderTest {
        try await ServerUnderTest.start(
            .t4(engine: nil), dataDirectory: path(name), options: ["--bcrypt-cost", "4"] + options)
    }

    func launch(_ arguments: [String]) throws -> ChildProcess {
        let process = try ChildProcess(
            TestEnvironment.t4Binary(), arguments, environment: TestEnvironment.forChildren)
        process.closeInput()
        return process
    }

    /// Runs a command that must succeed.
    /// - Returns: What it printed.
    @discardableResult
    func t4(_ arguments: String..., at location: SourceLocation = #_sourceLocation) async throws -> String {
        let process = try launch(arguments)
        let status = try await process.wait()
        try #require(
            status == .code(0), "\(arguments): \(process.errors.value)\(process.output.value)", sourceLocation: location
        )
        return process.output.value.description
    }

    /// Runs a command that must fail, and say why.
    func expectFailure(
        _ arguments: String..., saying text: String, at location: SourceLocation = #_sourceLocation
    ) async throws {
        let process = try launch(arguments)
        let status = try await process.wait()
        let errors = process.errors.value.description
        #expect(status == .code(1) && errors.contains(text), "\(arguments): \(errors)", sourceLocation: location)
    }
}
