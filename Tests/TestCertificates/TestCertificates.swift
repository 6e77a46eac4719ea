package import Foundation
import T4Conformance

/// A CA and what it signs, in a folder of its own: made by the openssl command when a test runs, valid for three days.
package struct TestCertificates: Sendable {
    /// A certificate and its key.
    package struct Pair: Sendable {
        package var certificate: String
        package var key: String
    }

    package struct Failure: Error, CustomStringConvertible {
        package var description: String
    }

    package let folder: URL

    /// Makes the CA `ca` in a new folder, which goes when the body ends.
    package static func with<Result: Sendable>(
        _ body: (TestCertificates) async throws -> Result, isolation: isolated (any Actor)? = #isolation,
    ) async throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appending(path: "t4-certificates-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let made = TestCertificates(folder: folder)
        try Data("[req]\ndistinguished_name = name\n[name]\n".utf8).write(to: folder.appending(path: "config"))
        try await made.makeAuthority("ca")
        return try await body(made)
    }

    package func path(_ name: String) -> String { folder.appending(path: name).path }

    /// The certificate of a CA.
    package func authority(_ name: String = "ca") -> String { path("\(name).crt") }

    /// - Parameter signer: Nil for a root.
    @discardableResult
    package func makeAuthority(_ name: String, signer: String? = nil) async throws -> Pair {
        try await make(name, "/CN=\(name)", signer, ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"])
    }

    /// A certificate for 127.0.0.1 and localhost.
    @discardableResult
    package func makeServer(_ name: String = "server", signer: String = "ca", key: [String] = ecdsa) async throws
        -> Pair
    {
        try await make(
            name, "/CN=\(name)", signer,
            ["subjectAltName=DNS:localhost,IP:127.0.0.1", "extendedKeyUsage=serverAuth"], key: key)
    }

    /// A certificate of a node of a cluster, for 127.0.0.1 and localhost: it dials and is dialled.
    @discardableResult
    package func makePeer(_ name: String, signer: String = "ca") async throws -> Pair {
        try await make(
            name, "/CN=\(name)", signer,
            ["subjectAltName=DNS:localhost,IP:127.0.0.1", "extendedKeyUsage=serverAuth,clientAuth"])
    }

    /// A certificate of a client.
    /// - Parameter subject: `/CN=name` if nil.
    @discardableResult
    package func makeClient(_ name: String, subject: String? = nil, signer: String? = "ca") async throws -> Pair {
        try await make(name, subject ?? "/CN=\(name)", signer, ["extendedKeyUsage=clientAuth"])
    }

    package static let ecdsa = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]

    private func make(
        _ name: String, _ subject: String, _ signer: String?, _ extensions: [String],
        key: [String] = ecdsa
    ) async throws -> Pair {
        let pair = Pair(certificate: path("\(name).crt"), key: path("\(name).key"))
        var arguments = ["req", "-x509", "-config", path("config"), "-nodes", "-days", "3", "-subj", subject] + key
        arguments += ["-keyout", pair.key, "-out", pair.certificate]
        if let signer { arguments += ["-CA", authority(signer), "-CAkey", path("\(signer).key")] }
        try await openssl(arguments + extensions.flatMap { ["-addext", $0] })
        return pair
    }

    /// Runs the openssl command.
    package func openssl(_ arguments: [String]) async throws {
        let log = path("openssl-\(UUID().uuidString).log")
        try Data().write(to: URL(filePath: log))
        let said = try FileHandle(forWritingTo: URL(filePath: log))
        let process = try SpawnedProcess(
            "/usr/bin/env", ["openssl"] + arguments, environment: ProcessInfo.processInfo.environment, input: nil,
            output: said, errors: said)
        try said.close()
        let end = await withCheckedContinuation { continuation in
            process.whenEnded { continuation.resume(returning: $0) }
        }
        guard end == .code(0) else {
            let said = String(decoding: try Data(contentsOf: URL(filePath: log)), as: UTF8.self)
            throw Failure(description: "openssl \(arguments.joined(separator: " ")): \(said)")
        }
    }
}
