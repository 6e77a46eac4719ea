import T4Protocols

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Visits the path and name of what lies in a directory, in any order.
/// - Throws: `.ioFailed` when it cannot be read, or what `visit` throws.
func forEachFile(
    of directory: String, _ visit: (_ path: String, _ name: String) throws(EngineError) -> Void
) throws(EngineError) {
    guard let stream = opendir(directory) else { throw EngineError(system: errno, "opendir", file: directory) }
    defer { closedir(stream) }
    while true {
        errno = 0
        guard let entry = readdir(stream) else {
            guard errno == 0 else { throw EngineError(system: errno, "readdir", file: directory) }
            return
        }
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != ".", name != ".." { try visit("\(directory)/\(name)", name) }
    }
}
