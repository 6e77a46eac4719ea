import T4Protocols

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// What the engine itself does with files; missing ones are an answer, all else is an error.
enum Files {
    /// Names in a directory.
    static func names(in directory: String) throws(EngineError) -> [String] {
        guard let stream = opendir(directory) else { throw EngineError(system: errno, "open", file: directory) }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else { break }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        guard errno == 0 else { throw EngineError(system: errno, "read", file: directory) }
        return names
    }

    /// Bytes of a file; nil when there is none.
    static func size(of path: String) throws(EngineError) -> Int? {
        var status = stat()
        if stat(path, &status) == 0 { return Int(status.st_size) }
        guard errno == ENOENT else { throw EngineError(system: errno, "stat", file: path) }
        return nil
    }

    /// Opens a file for reading; nil when there is none. The caller closes it.
    static func openForReading(_ path: String) throws(EngineError) -> Int32? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        if descriptor >= 0 { return descriptor }
        switch errno {
        case ENOENT: return nil
        case EMFILE: throw EngineError(.ioFailed, "open \(path): too many open files, raise the limit (ulimit -n)")
        default: throw EngineError(system: errno, "open", file: path)
        }
    }

    /// The content of a small file; nil when there is none.
    static func content(of path: String) throws(EngineError) -> [UInt8]? {
        var content: [UInt8] = []
        guard try forEachPiece(of: path, { content.append(contentsOf: $0) }) else { return nil }
        return content
    }

    /// Makes a new file.
    static func make(_ path: String, _ content: [UInt8]) throws(EngineError) {
        let target = try create(path)
        defer { close(target) }
        try content.span.bytes.withUnsafeBytes { (bytes) throws(EngineError) in try writeAll(bytes, to: target, path) }
    }

    /// Copies what a file holds now into a new one. A file that grows meanwhile is copied up to some point.
    /// - Returns: Bytes of the copy; nil when there is no such file.
    static func copy(_ source: String, to path: String) throws(EngineError) -> Int? {
        let target = try create(path)
        defer { close(target) }
        var size = 0
        let isFound = try forEachPiece(of: source) { (piece) throws(EngineError) in
            try writeAll(piece, to: target, path)
            size += piece.count
        }
        return isFound ? size : nil
    }

    /// Reads a file from its start to what is its end when the reader gets there.
    /// - Returns: False when there is no such file.
    private static func forEachPiece(
        of path: String, _ visit: (UnsafeRawBufferPointer) throws(EngineError) -> Void
    ) throws(EngineError) -> Bool {
        guard let source = try openForReading(path) else { return false }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 16)
        defer {
            buffer.deallocate()
            close(source)
        }
        while true {
            let count = read(source, buffer.baseAddress, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw EngineError(system: errno, "read", file: path) }
            if count == 0 { return true }
            try visit(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }

    private static func create(_ path: String) throws(EngineError) -> Int32 {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw EngineError(system: errno, "create", file: path) }
        return descriptor
    }

    private static func writeAll(
        _ bytes: UnsafeRawBufferPointer, to target: Int32, _ path: String
    ) throws(EngineError) {
        var rest = bytes
        while !rest.isEmpty {
            let count = write(target, rest.baseAddress, rest.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw EngineError(system: errno, "write", file: path) }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }
}
