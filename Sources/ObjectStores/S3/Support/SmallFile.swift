import Glibc

/// Reads files: settings and tokens whole, payloads in pieces.
struct SmallFile {
    /// A failed call on a file.
    struct Failure: Error, CustomStringConvertible {
        let call: String
        let path: String
        let number: Int32
        var isMissing: Bool { number == ENOENT }
        var description: String { "\(call) \(path): \(String(cString: strerror(number)))" }
    }

    /// The text of a file; nil when there is none.
    static func text(_ path: String) throws(Failure) -> String? {
        do throws(Failure) {
            let file = try ReadFile(path)
            return String(decoding: try file.read(at: 0, count: Int(file.size())), as: UTF8.self)
        } catch {
            if error.isMissing { return nil }
            throw error
        }
    }
}

/// A file open for reading, closed with its last reference. Safe to share: `pread` moves no position.
final class ReadFile: Sendable {
    private let descriptor: Int32
    private let path: String

    init(_ path: String) throws(SmallFile.Failure) {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SmallFile.Failure(call: "open", path: path, number: errno) }
    }

    deinit { close(descriptor) }

    /// Bytes of the file.
    func size() throws(SmallFile.Failure) -> UInt64 {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw SmallFile.Failure(call: "stat", path: path, number: errno)
        }
        return UInt64(status.st_size)
    }

    /// As many bytes as asked for, fewer only where the file ends.
    func read(at offset: UInt64, count: Int) throws(SmallFile.Failure) -> [UInt8] {
        var failure: SmallFile.Failure?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let step = pread(descriptor, buffer.baseAddress! + filled, count - filled, off_t(offset) + filled)
                if step < 0 && errno == EINTR { continue }
                if step < 0 { failure = SmallFile.Failure(call: "read", path: path, number: errno) }
                if step <= 0 { return }
                filled += step
            }
        }
        if let failure { throw failure }
        return bytes
    }
}
