import Glibc
import T4Core

/// Where the bytes of a backup go: standard output, or a file that is there once it is complete and not at all before, whatever
/// happens to this process.
struct BackupOutput: ~Copyable {
    struct Failure: Error, CustomStringConvertible {
        var description: String

        init(_ description: String) { self.description = description }

        init(_ call: String, _ path: String) { description = "\(call) \(path): \(String(cString: strerror(errno)))" }
    }

    /// Nil for standard output.
    private let path: String?
    private let file: Int32
    /// The name that the file has meanwhile, on a file system where files need one.
    private let temporary: String?

    /// Linux's flag for a file without a name, which the headers give as an expression.
    private static let unnamed = 0o20000000 | O_DIRECTORY

    /// - Parameter path: `-` for standard output.
    init(_ path: String) throws(Failure) {
        guard path != "-" else {
            self.path = nil
            (file, temporary) = (1, nil)
            return
        }
        self.path = path
        var info = stat()
        if stat(path, &info) == 0, (info.st_mode & S_IFMT) != S_IFREG {
            throw Failure("\(path) is no regular file: send the backup into a pipe with --output -")
        }
        let unnamed = open(BackupOutput.folder(of: path), BackupOutput.unnamed | O_RDWR | O_CLOEXEC, 0o600)
        if unnamed >= 0 {
            (file, temporary) = (unnamed, nil)
            return
        }
        guard errno == EOPNOTSUPP || errno == EISDIR else { throw Failure("make a file beside", path) }
        let name = BackupOutput.temporaryName(of: path)
        let named = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard named >= 0 else { throw Failure("open", name) }
        (file, temporary) = (named, name)
    }

    deinit {
        guard path != nil else { return }
        if let temporary { unlink(temporary) }
        close(file)
    }

    /// Takes the next bytes. Blocks.
    var write: Backup.Output {
        { [file, name = path ?? "standard output"] bytes in
            var left = bytes[...]
            while !left.isEmpty {
                let count = left.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw Failure("write", name) }
                left = left.dropFirst(count)
            }
        }
    }

    /// Reads everything back that was written; nil for standard output. Blocks.
    func verified() throws(BackupError) -> BackupFile? {
        path == nil ? nil : try BackupFile("/proc/self/fd/\(file)")
    }

    /// Gives the file its name, in place of a file that has it.
    func finish() throws(Failure) {
        guard let path else { return }
        guard fsync(file) == 0 else { throw Failure("fsync", path) }
        let name = temporary ?? BackupOutput.temporaryName(of: path)
        if temporary == nil {
            guard linkat(AT_FDCWD, "/proc/self/fd/\(file)", AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0 else {
                throw Failure("link", name)
            }
        }
        guard rename(name, path) == 0 else {
            let failure = Failure("rename \(name) to", path)
            unlink(name)
            throw failure
        }
        let folder = open(BackupOutput.folder(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw Failure("open the folder of", path) }
        defer { close(folder) }
        guard fsync(folder) == 0 else { throw Failure("fsync the folder of", path) }
    }

    private static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func temporaryName(of path: String) -> String {
        "\(path).part-\(String(UInt64.random(in: .min ... .max), radix: 16))"
    }
}
