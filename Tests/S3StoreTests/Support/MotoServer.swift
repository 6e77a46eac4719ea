import Foundation
import Synchronization

/// A moto process, which speaks S3, checks every signature and keeps its objects in memory.
///
/// It ends with this process, however that ends: it reads its standard input, a pipe from here, up to the end.
final class MotoServer: Sendable {
    let endpoint: String
    let accessKeyID: String
    let secretAccessKey: String
    /// The certificate authority of an encrypted server.
    let caFile: String?
    private let process: RunningProcess
    /// Holds the certificate, as long as the server is there.
    private let folder: TemporaryFolder?

    /// Where `scripts/fetch-moto` puts it.
    static let libraries = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: ".build/tools/moto/lib").path

    static var isInstalled: Bool { FileManager.default.fileExists(atPath: libraries) }

    /// One for all tests of this process.
    static let shared = Result { try MotoServer(isEncrypted: false) }

    /// Starts the process and waits until it listens.
    init(isEncrypted: Bool) throws {
        let folder = try TemporaryFolder()
        // Until the process has read its script.
        defer { withExtendedLifetime(folder) {} }
        let script = try folder.write("start.py", Self.script)
        process = try RunningProcess(
            "/usr/bin/env", ["python3", script, isEncrypted ? folder.path : ""],
            environment: ["PYTHONPATH": Self.libraries, "INITIAL_NO_AUTH_ACTION_COUNT": "0"])
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
        caFile = isEncrypted ? "\(folder.path)/ca.pem" : nil
        self.folder = isEncrypted ? folder : nil
    }

    struct MotoFailure: Error, CustomStringConvertible { let description: String }

    private static let script = """
        import os, sys, threading
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
        from moto.iam.models import iam_backends
        from moto.server import main
        iam = iam_backends["123456789012"]["aws"]
        iam.create_user("aws", "test")
        key = iam.create_access_key("test")
        iam.put_user_policy("test", "all", '{"Version": "2012-10-17", "Statement": '
                            '[{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}')
        print("KEY", key.access_key_id, key.secret_access_key, flush=True)
        arguments = ["-H", "127.0.0.1", "-p", "0"]
        folder = sys.argv[1]
        if folder:
            import datetime, ipaddress
            from cryptography import x509
            from cryptography.hazmat.primitives import hashes, serialization
            from cryptography.hazmat.primitives.asymmetric import ec
            secret = ec.generate_private_key(ec.SECP256R1())
            name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "t4 test")])
            now = datetime.datetime.now(datetime.timezone.utc)
            certificate = (
                x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(secret.public_key())
                .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
                .not_valid_after(now + datetime.timedelta(days=1))
                .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
                .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
                .sign(secret, hashes.SHA256()))
            encoding = serialization.Encoding.PEM
            with open(folder + "/ca.pem", "wb") as file:
                file.write(certificate.public_bytes(encoding))
            with open(folder + "/key.pem", "wb") as file:
                file.write(secret.private_bytes(
                    encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
            arguments += ["-c", folder + "/ca.pem", "-k", folder + "/key.pem"]
        main(arguments)
        """
}

/// A child process with a pipe to its input and one from its two outputs.
private final class RunningProcess: @unchecked Sendable {
    // Sendable: used by the thread that starts it until `drain`, then by nobody but `deinit`.
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private var buffer = Data()
    private(set) var lines: [String] = []

    init(_ executable: String, _ arguments: [String], environment: [String: String]) throws {
        process.executableURL = URL(filePath: executable)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
        process.standardInput = input
        process.standardOutput = output
        process.standardError = output
        try process.run()
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

    deinit { process.terminate() }
}
