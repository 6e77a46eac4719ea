import CRocksDB
import T4Protocols

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A bulk load: sorted rows are written to table files beside the database's own, and become part of it in one step.
///
/// The head row is the first row of the first file. The step is one record in RocksDB's list of files, so after a crash
/// either all rows are there, with their position, or none.
final class TableLoad {
    private static let fileSizeBytesMax: UInt64 = 64 << 20
    private static let folder = "load"

    private let directory: String
    private let environment: OpaquePointer
    private let writer: OpaquePointer
    private var files: [String] = []
    private var isFileOpen = false
    private var lastKey: [UInt8] = []

    /// - Parameter options: Options of the database.
    init(directory: String, options: OpaquePointer) throws(EngineError) {
        self.directory = directory
        environment = rocksdb_envoptions_create()
        writer = rocksdb_sstfilewriter_create(environment, options)
        try TableLoad.removeFiles(directory)
        let folder = "\(directory)/\(TableLoad.folder)"
        guard mkdir(folder, 0o700) == 0 else { throw EngineError(system: errno, "mkdir", file: folder) }
    }

    deinit {
        rocksdb_sstfilewriter_destroy(writer)
        rocksdb_envoptions_destroy(environment)
        do {
            try TableLoad.removeFiles(directory)
        } catch {
            // Files that stay are removed when the directory is opened the next time.
        }
    }

    /// Removes what a load left behind.
    static func removeFiles(_ directory: String) throws(EngineError) {
        let folder = "\(directory)/\(TableLoad.folder)"
        guard access(folder, F_OK) == 0 else { return }
        try forEachFile(of: folder) { (path, _) throws(EngineError) in
            guard unlink(path) == 0 else { throw EngineError(system: errno, "unlink", file: path) }
        }
        guard rmdir(folder) == 0 else { throw EngineError(system: errno, "rmdir", file: folder) }
    }

    /// Writes the files.
    /// - Throws: `.invalidArgument` for a row that is not above the one before or too large; `.noSpace`, `.ioFailed`.
    func fill(from rows: inout some SortedRows, at position: LogPosition) throws(EngineError) {
        let (headKey, head) = (Layout.headKey, Layout.head(position))
        try put(headKey.span.bytes, head.span.bytes)
        var failure: EngineError?
        while failure == nil {
            let isRow = try rows.next { key, value in
                do throws(EngineError) { try append(key, value) } catch { failure = error }
            }
            if !isRow { break }
        }
        if let failure { throw failure }
        try finishFile()
    }

    /// Makes the files part of the database. They are on disk when it returns.
    func ingest(into database: OpaquePointer) throws(EngineError) {
        let options = rocksdb_ingestexternalfileoptions_create()
        defer { rocksdb_ingestexternalfileoptions_destroy(options) }
        rocksdb_ingestexternalfileoptions_set_move_files(options, 1)
        let names = files.map { strdup($0) }
        defer { for name in names { free(name) } }
        let list = names.map { UnsafePointer($0) }
        try check("rocksdb_ingest_external_file", on: directory) {
            rocksdb_ingest_external_file(database, list, list.count, options, &$0)
        }
    }

    private func append(_ key: RawSpan, _ value: RawSpan) throws(EngineError) {
        try EngineLimits.check(key, value)
        // RocksDB looks at the order within a file only.
        try key.withUnsafeBytes { (key) throws(EngineError) in
            guard lastKey.lexicographicallyPrecedes(key) else {
                throw EngineError(
                    .invalidArgument, "bulk load: a key of \(key.count) bytes is not above the one before")
            }
            lastKey.removeAll(keepingCapacity: true)
            lastKey.append(contentsOf: key)
        }
        try put(key, value)
        var size: UInt64 = 0
        rocksdb_sstfilewriter_file_size(writer, &size)
        if size >= TableLoad.fileSizeBytesMax { try finishFile() }
    }

    private func put(_ key: RawSpan, _ value: RawSpan) throws(EngineError) {
        if !isFileOpen {
            let file = "\(directory)/\(TableLoad.folder)/\(files.count)"
            try check("rocksdb_sstfilewriter_open", on: directory) { rocksdb_sstfilewriter_open(writer, file, &$0) }
            files.append(file)
            isFileOpen = true
        }
        try lend(key) { (key, keySize) throws(EngineError) in
            try lend(value) { (value, valueSize) throws(EngineError) in
                try check("rocksdb_sstfilewriter_put", on: directory) {
                    rocksdb_sstfilewriter_put(writer, key, keySize, value, valueSize, &$0)
                }
            }
        }
    }

    private func finishFile() throws(EngineError) {
        guard isFileOpen else { return }
        isFileOpen = false
        try check("rocksdb_sstfilewriter_finish", on: directory) { rocksdb_sstfilewriter_finish(writer, &$0) }
    }
}
