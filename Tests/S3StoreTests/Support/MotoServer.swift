import Foundation
import Synchronization
import T4Conformance

/// A moto process, which speaks S3, checks every signature and keeps its objects in memory.
///
/// It ends with this process, however that ends: it reads its standard input, which comes from here, up to the end.
final class MotoServer: Sendable {
    let endpoint: String
    let accessKeyID: String
    let secretAccessKey: String
    /// The certificate authority of an encrypted server.
    let caFile: String?
    private let process: RunningProcess
    /// Holds the certificate, as long as the server is there.
    private let folder: TemporaryFolder?

    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// Where `scripts/fetch-moto` puts it.
    private static let libraries = root.appending(path: ".build/tools/moto/lib").path

    static var isInstalled: Bool { FileManager.default.fileExists(atPath: libraries) }

    /// One for all tests of this process.
    static let shared = Result { try MotoServer(isEncrypted: false) }

    /// Starts the process and waits until it listens.
    init(isEncrypted: Bool) throws {
        folder = isEncrypted ? try TemporaryFolder() : nil
        process = try RunningProcess(
            Self.root.appending(path: "scripts/serve-moto").path,
            ["--signed"] + (folder.map { ["--tls", $0.path] } ?? []), environment: ["PYTHONPATH": Self.libraries])
        var keys: [Substring] = []
        var found: String?
        while found == nil, let line = process.nextLine() {
            if line.hasPrefix("KEY ") { keys = line.split(separator: " ") }
            if let start = line.firstRange(of: "Running on ") { found = String(line[start.upperBound...]) }
        }
        guard let found, keys.count == 3 else {
            throw MotoFailure(description: "moto did not start: \(process.lines.joined(separator: "\n"))")
        }
        process.drain()
        endpoint = found
        accessKeyID = String(keys[1])
        secretAccessKey = String(keys[2])
        caFile = folder.map { "\($0.path)/ca.pem" }
    }

    struct MotoFailure: Error, CustomStringConvertible { let description: String }
}

/// A child process with a pipe to its input and one from its two outputs.
private final class RunningProcess: @unchecked Sendable {
    // Sendable: used by the thread that starts it until `drain`, then by nobody but `deinit`.
    private let process: SpawnedProcess
    private let input: ChildPipe
    private let output: ChildPipe
    private var buffer = Data()
    private(set) var lines: [String] = []

    init(_ executable: String, _ arguments: [String], environment: [String: String]) throws {
        input = try ChildPipe()
        output = try ChildPipe()
        process = try SpawnedProcess(
            executable, arguments,
            environment: ProcessInfo.processInfo.environment.merging(environment) { _, new in new },
            input: input.fileHandleForReading, output: output.fileHandleForWriting, errors: output.fileHandleForWriting)
        try input.fileHandleForReading.close()
        try output.fileHandleForWriting.close()
    }

    /// The next line of its output; nil at the end.
    func nextLine() -> String? {
        while true {
            if let end = buffer.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: buffer[..<end], as: UTF8.self)
                buffer = Data(buffer[(end + 1)...])
                lines.append(line)
                return line
            }
            let more = output.fileHandleForReading.availableData
            if more.isEmpty { return nil }
            buffer += more
        }
    }

    /// Reads on and forgets, so that the child is never held up.
    func drain() {
        let handle = output.fileHandleForReading
        Thread.detachNewThread { while !handle.availableData.isEmpty {} }
    }

    deinit { process.signal(SIGTERM) }
}
