import Glibc
import T4Protocols

extension StoreDirectory {
    /// Reads an object or a part of it, all from the same put.
    func get(_ key: ObjectKey, bytes: Range<UInt64>?) throws(ObjectStoreError) -> StoredBytes {
        let object = try find(key)
        let range = try object.info.cut(bytes)
        let count = Int(range.upperBound - range.lowerBound)
        let offset = Int64(ObjectHeader.byteCount) + Int64(range.lowerBound)
        let content = try io(key) { () throws(SystemFailure) in try object.file.read(count, at: offset) }
        guard content.count == count else {
            throw ObjectStoreError(.corrupted, "\(key): \(object.file.path) became shorter while it was read")
        }
        return StoredBytes(bytes: content, info: object.info)
    }

    /// Size and version of an object.
    func info(_ key: ObjectKey) throws(ObjectStoreError) -> ObjectInfo { try find(key).info }

    /// The object's version, nil when there is no such object.
    func version(_ key: ObjectKey) throws(ObjectStoreError) -> ObjectVersion? {
        do throws(ObjectStoreError) {
            return try info(key).version
        } catch {
            if error.code == .notFound { return nil }
            throw error
        }
    }

    private struct FoundObject {
        let file: OpenFile
        let info: ObjectInfo
    }

    private func find(_ key: ObjectKey) throws(ObjectStoreError) -> FoundObject {
        let path = ObjectPath(key.rawValue.utf8).relative
        let file: OpenFile
        do throws(SystemFailure) {
            // What is no regular file must not block, and no link leads out of the store.
            file = try OpenFile(path, in: objects, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        } catch {
            switch error.number {
            case ENOENT, ENOTDIR: throw ObjectStoreError(.notFound, "\(key): there is no such object")
            case ELOOP: throw ObjectStoreError(.corrupted, "\(key): \(objects.path)/\(path) is a symbolic link")
            default: throw ObjectStoreError(error, on: key)
            }
        }
        let status = try io(key) { () throws(SystemFailure) in try file.status() }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw ObjectStoreError(.corrupted, "\(key): \(file.path) is no regular file")
        }
        let start = try io(key) { () throws(SystemFailure) in try file.read(ObjectHeader.byteCount, at: 0) }
        let header = try ObjectHeader(start, of: key, file: file.path)
        let size = UInt64(status.st_size) - UInt64(ObjectHeader.byteCount)
        guard size == header.bodySize else {
            throw ObjectStoreError(
                .corrupted, "\(key): \(file.path) holds \(size) bytes of the \(header.bodySize) that were written")
        }
        return FoundObject(file: file, info: ObjectInfo(key: key, size: size, version: header.versionText))
    }
}
