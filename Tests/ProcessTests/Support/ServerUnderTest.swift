import Foundation
import T4Conformance

/// A server process that serves the etcd API on a free port of 127.0.0.1.
final class ServerUnderTest: Sendable {
    enum Kind: Hashable, Sendable, CustomStringConvertible {
        case etcd
        /// `engine`: the name of a storage engine, or nil for the default one.
        case t4(engine: String?)

        var description: String {
            switch self {
            case .etcd: "etcd"
            case .t4(let engine): engine.map { "t4 (\($0))" } ?? "t4"
            }
        }
    }

    /// Options with which t4 cuts nobody off because the machine is slow: clients, or the server itself, that get little
    /// of it look like clients that take their time.
    private static let patience = ["--handshake-timeout", "10m", "--request-timeout", "10m"]

    let kind: Kind
    /// Host and port, as in `127.0.0.1:4711`.
    let address: String
    let process: ChildProcess

    var endpoint: String { "http://" + address }
    var port: Int { Int(address.drop { $0 != ":" }.dropFirst()) ?? 0 }

    private init(_ kind: Kind, _ address: String, _ process: ChildProcess) {
        self.kind = kind
        self.address = address
        self.process = process
    }

    /// Starts a server on `dataDirectory` and returns when it serves.
    ///
    /// - Parameter whenLaunched: Hears of the process, which does not serve yet.
    /// - Throws: `StartFailed` when it ends or says nothing of being ready within `limit`; no process is left behind.
    static func start(
        _ kind: Kind, dataDirectory: URL, options: [String] = [], environment: [String: String] = [:],
        descriptors: Int? = nil, within limit: Duration = .seconds(300), whenLaunched: (ChildProcess) -> Void = { _ in },
    ) async throws -> ServerUnderTest {
        let process = try launch(
            kind, dataDirectory: dataDirectory, options: options, environment: environment, descriptors: descriptors)
        whenLaunched(process)
        do {
            let ready = kind == .etcd ? process.errors : process.output
            let address = try await ready.wait(for: "\(kind) to be ready", within: limit) { said in
                let address = readyAddress(kind, in: said.description)
                if address == nil && said.ended { throw StartFailed(kind: kind, process: process) }
                return address
            }
            return ServerUnderTest(kind, address, process)
        } catch {
            await process.destroy()
            throw error
        }
    }

    /// Starts the process without waiting for anything, for starts that are meant to fail.
    /// - Parameters:
    ///   - environment: Beside what all children have.
    ///   - descriptors: How many files and sockets t4 may have open; nil: as many as this process.
    static func launch(
        _ kind: Kind, dataDirectory: URL, options: [String] = [], environment: [String: String] = [:],
        descriptors: Int? = nil,
    ) throws -> ChildProcess {
        let environment = TestEnvironment.forChildren.merging(environment) { $1 }
        switch kind {
        case .etcd:
            // Port 0 everywhere: the system picks free ports, and the log names the one for clients.
            let anywhere = "http://127.0.0.1:0"
            let arguments = [
                "--data-dir", dataDirectory.path, "--listen-client-urls", anywhere, "--advertise-client-urls", anywhere,
                "--listen-peer-urls", anywhere, "--initial-advertise-peer-urls", anywhere,
                "--initial-cluster", "default=" + anywhere, "--enable-grpc-gateway=false",
            ]
            return try ChildProcess(
                TestEnvironment.tool("etcd"), arguments + options, environment: environment)
        case .t4(let engine):
            var arguments = ["run", "--data-dir", dataDirectory.path, "--listen", "127.0.0.1:0"]
            if let engine { arguments += ["--engine", engine] }
            // The last of two counts.
            arguments = [try TestEnvironment.t4Binary()] + arguments + patience + options
            if let descriptors {
                arguments = ["/bin/sh", "-c", "ulimit -n \(descriptors); exec \"$0\" \"$@\""] + arguments
            }
            return try ChildProcess(arguments[0], Array(arguments.dropFirst()), environment: environment)
        }
    }

    /// The one place that knows how a server says that it is ready.
    private static func readyAddress(_ kind: Kind, in text: String) -> String? {
        // A line counts only when it is complete.
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            switch kind {
            case .etcd:
                guard line.contains("\"serving client traffic") else { continue }
                return line.firstMatch(of: /"address":"(?<address>[^"]+)"/).map { String($0.address) }
            case .t4:
                let ready = /t4 is ready: etcd endpoint https?:\/\/(?<address>[0-9a-z.\[\]:]+)/
                if let found = line.firstMatch(of: ready) { return String(found.address) }
            }
        }
        return nil
    }

    /// Ends the server as an operator does and waits for it.
    @discardableResult
    func stop(within limit: Duration = .seconds(300)) async throws -> ExitStatus {
        process.signal(SIGTERM)
        return try await process.wait(within: limit)
    }

    /// Makes calls whose failure is to show what the server said.
    func tellingIfLost<Result>(_ calls: () async throws -> Result) async throws -> Result {
        do {
            return try await calls()
        } catch {
            throw CallFailed(cause: error, process: process)
        }
    }

    /// Ends the server without warning: kill -9.
    func crash() async {
        await process.destroy()
    }
}

/// A server ended before it was ready, with everything it said.
struct StartFailed: Error, CustomStringConvertible {
    let kind: ServerUnderTest.Kind
    let process: ChildProcess

    var description: String {
        "\(kind) ended before it was ready\nstdout:\n\(process.output.value)\nstderr:\n\(process.errors.value)"
    }
}

/// A call failed, with everything that the server said.
struct CallFailed: Error, CustomStringConvertible {
    let cause: any Error
    let process: ChildProcess

    var description: String { "\(cause)\nstderr of the server:\n\(process.errors.value)" }
}
