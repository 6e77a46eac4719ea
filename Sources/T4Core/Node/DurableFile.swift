import FoundationEssentials
import Glibc

/// Small files and directories that must survive power loss, and the errors of the calls on them.
package enum DurableFile {
    /// A failed call on a file of the data directory.
    package struct Failure: Error, Sendable, CustomStringConvertible {
        package var call: String
        package var path: String
        package var number: Int32

        package var description: String { "\(call) \(path): \(String(cString: strerror(number)))" }
    }

    /// The content of a file as text; nil when there is none.
    package static func read(_ path: String) throws(Failure) -> String? {
        try readBytes(path).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The content of a file; nil when there is none.
    static func readBytes(_ path: String) throws(Failure) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        if file < 0 {
            if errno == ENOENT { return nil }
            throw Failure(call: "open", path: path, number: errno)
        }
        defer { close(file) }
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(file, &buffer, buffer.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw Failure(call: "read", path: path, number: errno)
            }
            if count == 0 { break }
            content += buffer[..<count]
        }
        return content
    }

    /// The lines `name value` of a small text file; other lines are left out, the last of a name counts.
    package static func fields(of text: String) -> [Substring: Substring] {
        var fields: [Substring: Substring] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ", maxSplits: 1)
            if parts.count == 2 { fields[parts[0]] = parts[1] }
        }
        return fields
    }

    /// Replaces a file as a whole: after a crash there is the old or the new content.
    package static func write(_ content: String, to path: String) throws(Failure) {
        let temporary = path + ".new"
        let file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Failure(call: "open", path: temporary, number: errno) }
        do throws(Failure) {
            try write(Array(content.utf8), to: file, temporary)
            guard fsync(file) == 0 else { throw Failure(call: "fsync", path: temporary, number: errno) }
        } catch {
            close(file)
            throw error
        }
        guard close(file) == 0 else { throw Failure(call: "close", path: temporary, number: errno) }
        guard rename(temporary, path) == 0 else { throw Failure(call: "rename", path: path, number: errno) }
        try syncDirectory(parent(of: path))
    }

    /// Makes or replaces a file that need not outlive a crash.
    static func writeUnsynced(_ bytes: [UInt8], to path: String) throws(Failure) {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Failure(call: "open", path: path, number: errno) }
        do throws(Failure) {
            try write(bytes, to: file, path)
        } catch {
            close(file)
            throw error
        }
        guard close(file) == 0 else { throw Failure(call: "close", path: path, number: errno) }
    }

    private static func write(_ bytes: [UInt8], to file: Int32, _ path: String) throws(Failure) {
        var offset = 0
        while offset < bytes.count {
            let written = bytes[offset...].withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            if written < 0 {
                if errno == EINTR { continue }
                throw Failure(call: "write", path: path, number: errno)
            }
            offset += written
        }
    }

    /// Makes a directory and its missing parents, each durable.
    package static func makeDirectory(_ path: String) throws(Failure) {
        if isDirectory(path) { return }
        let above = parent(of: path)
        if !above.isEmpty && above != path { try makeDirectory(above) }
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw Failure(call: "mkdir", path: path, number: errno)
        }
        guard isDirectory(path) else { throw Failure(call: "mkdir", path: path, number: ENOTDIR) }
        try syncDirectory(above.isEmpty ? "." : above)
    }

    package static func syncDirectory(_ path: String) throws(Failure) {
        let directory = open(path.isEmpty ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw Failure(call: "open", path: path, number: errno) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw Failure(call: "fsync", path: path, number: errno) }
    }

    /// Removes a directory with all its content; no effect when there is none.
    package static func removeTree(_ path: String) throws {
        guard FileManager.default.fileExists(atPath: path) else { return }
        try FileManager.default.removeItem(atPath: path)
        try syncDirectory(parent(of: path))
    }

    package static func isDirectory(_ path: String) -> Bool {
        var info = stat()
        return stat(path, &info) == 0 && (info.st_mode & S_IFMT) == S_IFDIR
    }

    private static func parent(of path: String) -> String {
        let trimmed = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        guard let slash = trimmed.lastIndex(of: "/") else { return "." }
        return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
    }
}
