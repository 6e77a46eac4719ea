import Glibc
public import T4Protocols

/// What `Backup` or `Shipment` wrote into a file, as a store that can only be read: a `RestorePoint` restores from a backup, a
/// `ShipmentReplay` takes the entries of a piece of the log.
///
/// Every byte of it has been compared with the hash at its end. It must not change while it is in use.
public final class BackupFile: ObjectStore {
    private struct Place {
        var offset: UInt64
        var size: UInt64
    }

    private let descriptor: Int32
    private let places: [ObjectKey: Place]
    private let content: BackupFormat.Content
    private let names: [ObjectKey]
    /// Bytes of the file.
    public let size: Int
    private static let pieceSize = 1 << 20

    /// Opens a file and reads all of it once. Blocks.
    /// - Throws: `BackupError`.
    public convenience init(_ path: String) throws(BackupError) {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw BackupFile.failure("open \(path)") }
        try self.init(owning: file, name: path)
    }

    /// Takes what comes from a pipe into a file without a name, and reads that. Blocks.
    /// - Parameters:
    ///   - input: Is read to its end, and not closed.
    ///   - directory: Where the file lies; its space is free again when this is gone, after a crash too.
    /// - Throws: `BackupError`.
    public convenience init(copying input: Int32, in directory: String) throws(BackupError) {
        let file = try BackupFile.makeUnnamed(in: directory)
        do throws(BackupError) {
            var buffer = [UInt8](repeating: 0, count: BackupFile.pieceSize)
            while true {
                let count = Glibc.read(input, &buffer, buffer.count)
                if count < 0, errno == EINTR { continue }
                guard count >= 0 else { throw BackupFile.failure("read the backup") }
                if count == 0 { break }
                try BackupFile.write(buffer[..<count], to: file)
            }
        } catch {
            Glibc.close(file)
            throw error
        }
        try self.init(owning: file, name: "the backup")
    }

    private init(owning file: Int32, name: String) throws(BackupError) {
        descriptor = file
        do throws(BackupError) {
            var info = stat()
            guard fstat(file, &info) == 0 else { throw BackupFile.failure("fstat \(name)") }
            guard (info.st_mode & S_IFMT) == S_IFREG else {
                throw BackupError(.notABackup, "\(name) is no regular file; pipe it in with --input -")
            }
            size = Int(info.st_size)
            (places, content) = try Reading(file, size, name).run()
        } catch {
            // Stored properties are missing, so that `deinit` does not run.
            Glibc.close(file)
            throw error
        }
        names = places.keys.sorted()
    }

    deinit { Glibc.close(descriptor) }

    /// The state is an earlier one of a database that goes on behind it: what is restored from it is a new database.
    public var isCut: Bool { content == .cut }

    /// It is a piece of the log: nothing that can be restored by itself.
    public var isLog: Bool { content == .log }

    /// No conditions: nothing can be written.
    public var capabilities: ObjectStoreCapabilities {
        ObjectStoreCapabilities(putsIfAbsent: false, putsIfUnchanged: false, isDurable: true)
    }

    /// Reads an object or a part of it.
    public func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        let (place, info) = try found(key)
        let range = try info.cut(bytes)
        let (file, offset) = (descriptor, place.offset + range.lowerBound)
        do {
            let bytes = try await SystemThread.run("t4-backup") {
                try BackupFile.read(Int(range.upperBound - range.lowerBound), at: offset, of: file)
            }
            return StoredBytes(bytes: bytes, info: info)
        } catch {
            throw ObjectStoreError(.unavailable, "\(key): the backup cannot be read", cause: error)
        }
    }

    /// Size and version of an object.
    public func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo { try found(key).info }

    /// Always refused.
    public func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        throw ObjectStoreError(.unsupported, "a backup cannot be changed")
    }

    /// One page of names in byte order.
    public func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        try ListPage.check(limit: limit)
        var found: [ObjectInfo] = []
        for name in names where name.rawValue.hasPrefix(prefix.rawValue) && after.map({ name > $0 }) ?? true {
            if found.count == limit { return ListPage(objects: found, hasMore: true) }
            found.append(try self.found(name).info)
        }
        return ListPage(objects: found, hasMore: false)
    }

    /// Always refused.
    public func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        throw ObjectStoreError(.unsupported, "a backup cannot be changed")
    }

    /// The file stays open as long as this exists.
    public func close() async {}

    private func found(_ key: ObjectKey) throws(ObjectStoreError) -> (place: Place, info: ObjectInfo) {
        try key.checkAsName()
        guard let place = places[key] else {
            throw ObjectStoreError(.notFound, "\(key): there is no such object in the backup")
        }
        return (place, ObjectInfo(key: key, size: place.size, version: ObjectVersion("\(place.offset)")))
    }

    // MARK: Reading everything once

    /// Reads a file from its beginning to its end.
    private struct Reading {
        let file: Int32
        let size: Int
        let name: String

        init(_ file: Int32, _ size: Int, _ name: String) {
            (self.file, self.size, self.name) = (file, size, name)
        }

        func run() throws(BackupError) -> (places: [ObjectKey: Place], content: BackupFormat.Content) {
            let hash = SHA256()
            var offset = 0
            func take(_ count: Int) throws(BackupError) -> [UInt8] {
                guard count <= size - offset else {
                    throw BackupError(
                        .damaged, "\(name) is cut off: it ends at byte \(size), in the middle of a record")
                }
                let bytes = try BackupFile.read(count, at: UInt64(offset), of: file)
                offset += count
                hash.update(bytes.span.bytes)
                return bytes
            }
            func corrupted() -> BackupError { BackupError(.damaged, "\(name) is damaged before byte \(offset)") }

            guard size >= BackupFormat.headerSize else { throw notABackup }
            let header = try take(BackupFormat.headerSize)
            guard header.starts(with: BackupFormat.magic) else { throw notABackup }
            let version: UInt16 = header.littleEndian(at: BackupFormat.magic.count)
            guard version == BackupFormat.version else {
                throw BackupError(
                    .laterVersion, "\(name) has version \(version), this t4 reads version \(BackupFormat.version)")
            }
            var places: [ObjectKey: Place] = [:]
            while true {
                let kind = try take(1)[0]
                switch kind {
                case BackupFormat.objectKind:
                    let rest = try take(BackupFormat.objectHeaderSize - 1)
                    let (nameCount, bodyCount): (UInt16, UInt64) = (rest.littleEndian(at: 0), rest.littleEndian(at: 2))
                    let text = String(decoding: try take(Int(nameCount)), as: UTF8.self)
                    guard var left = Int(exactly: bodyCount), places[ObjectKey(text)] == nil else { throw corrupted() }
                    places[ObjectKey(text)] = Place(offset: UInt64(offset), size: bodyCount)
                    while left > 0 { left -= try take(min(left, BackupFile.pieceSize)).count }
                case BackupFormat.endKind:
                    let count: UInt64 = try take(BackupFormat.endSize - 1 - SHA256.byteCount).littleEndian(at: 0)
                    let digest = hash.digest()
                    guard try take(SHA256.byteCount) == digest, count == UInt64(places.count), offset == size else {
                        throw BackupError(
                            .damaged, "\(name) is damaged: what is in it is not what was written, by its SHA-256")
                    }
                    let number: UInt16 = header.littleEndian(at: BackupFormat.magic.count + 2)
                    guard let content = BackupFormat.Content(rawValue: number) else {
                        throw BackupError(.laterVersion, "\(name) holds what a later version of t4 writes")
                    }
                    return (places, content)
                default: throw corrupted()
                }
            }
        }

        private var notABackup: BackupError {
            BackupError(.notABackup, "\(name) is no backup of t4; t4 import etcd-snapshot reads snapshots of etcd")
        }
    }

    // MARK: System calls

    private static func failure(_ call: String) -> BackupError {
        BackupError(.ioFailed, "\(call): \(String(cString: strerror(errno)))")
    }

    private static func makeUnnamed(in directory: String) throws(BackupError) -> Int32 {
        let path = "\(directory)/t4-backup-\(UInt64.random(in: .min ... .max))"
        let file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw failure("open \(path)") }
        guard unlink(path) == 0 else {
            let error = failure("unlink")
            Glibc.close(file)
            throw error
        }
        return file
    }

    private static func write(_ bytes: ArraySlice<UInt8>, to file: Int32) throws(BackupError) {
        var left = bytes
        while !left.isEmpty {
            let count = left.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure("write the backup to a temporary file") }
            left = left.dropFirst(count)
        }
    }

    private static func read(_ count: Int, at offset: UInt64, of file: Int32) throws(BackupError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = bytes.withUnsafeMutableBytes { buffer in
                pread(file, buffer.baseAddress?.advanced(by: done), count - done, off_t(offset) + off_t(done))
            }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw failure("read the backup") }
            guard got > 0 else { throw BackupError(.damaged, "the backup was cut off while it was read") }
            done += got
        }
        return bytes
    }
}
