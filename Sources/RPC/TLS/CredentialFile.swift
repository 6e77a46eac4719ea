import Glibc

/// A file with a certificate, a key or another secret, and the setting that names it.
public struct CredentialFile: Sendable, Hashable {
    /// The setting, for messages: `client_tls.cert`, `--cacert`.
    public var setting: String
    /// Where the file lies.
    public var path: String

    /// Nothing is read yet.
    public init(setting: String, path: String) {
        self.setting = setting
        self.path = path
    }

    /// Files of certificates and keys are small; a larger one is something else.
    private static let bytesMax = 16 * 1024 * 1024

    /// Something is wrong with the file.
    /// - Parameters:
    ///   - reason: What it is.
    ///   - hint: What to try.
    package func problem(_ reason: String, _ hint: String) -> CredentialFileError {
        CredentialFileError(setting: setting, file: path, reason: reason, hint: hint)
    }

    /// The whole file. Blocks.
    /// - Throws: When it cannot be read, is no regular file, or is larger than 16 MiB.
    package func read() throws(CredentialFileError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw failure(errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure(errno) }
        let kind = status.st_mode & S_IFMT
        guard kind == S_IFREG else {
            throw problem(
                kind == S_IFDIR ? "this is a directory" : "this is no regular file",
                "name a regular file, which can be read again")
        }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = piece.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure(errno) }
            guard count > 0 else { return bytes }
            bytes += piece[..<count]
            guard bytes.count <= CredentialFile.bytesMax else {
                throw problem("the file is larger than 16 MiB", "name the file of a certificate or key, which is small")
            }
        }
    }

    private func failure(_ code: Int32) -> CredentialFileError {
        switch code {
        case ENOENT: problem("there is no such file", "check the path")
        case EACCES: problem("no permission to read the file", "let the user that t4 runs as read it")
        default: problem("the file cannot be read: \(String(cString: strerror(code)))", "check the path")
        }
    }
}

/// A file of a certificate, a key, a CA or a secret cannot be used.
public struct CredentialFileError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The setting that names the file.
    public var setting: String
    /// The file.
    public var file: String
    /// What is wrong with it.
    public var reason: String
    /// What to try.
    public var hint: String

    /// One line: `client_tls.cert: /etc/t4/server.crt: there is no such file; check the path`.
    public var description: String { "\(setting): \(file): \(reason); \(hint)" }
}
