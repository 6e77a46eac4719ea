import Glibc
import Synchronization
import T4Protocols

// Order of the locks: the object's, then `names`. The object's is held from the check of the condition until the
// change is on the disk, so that nobody acts on what a loss of power could take back. A put of what is absent needs no lock of the
// object, for a link is made or it is not: whoever stands still in the middle of one, a process that was stopped for instance,
// keeps nobody from it.
extension StoreDirectory {
    /// Writes an object under a condition.
    func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) throws(ObjectStoreError) -> ObjectVersion {
        guard keepsConditions || condition == .always else {
            throw ObjectStoreError(
                .unsupported, "\(key): this store takes no conditional puts; see conditional_puts of [store.filesystem]"
            )
        }
        let path = ObjectPath(key.rawValue.utf8)
        let new = try write(payload, for: key)
        let lock = try io(key) { () throws(SystemFailure) in
            condition == .absent ? nil : try locks.hold(.object(key.rawValue.utf8))
        }
        defer { withExtendedLifetime(lock) {} }
        if case .unchanged(let wanted) = condition {
            let seen = try self.version(key)
            guard seen == wanted else {
                throw ObjectStoreError(
                    .conditionFailed, "\(key): not at version \(wanted), but \(seen.map { "at \($0)" } ?? "absent")")
            }
        }
        let isPublished = try publish(new, at: path, as: key, replacing: condition != .absent)
        do throws(SystemFailure) {
            // Also before saying that the object is there: the put that made it may have been cut off here.
            try OpenFile(path.folder.isEmpty ? "." : path.folder, in: objects, O_RDONLY | O_DIRECTORY).sync()
        } catch {
            throw .afterChange(error, on: key)
        }
        guard isPublished else { throw ObjectStoreError(.alreadyExists, "\(key): there is such an object") }
        return new.version
    }

    /// Deletes objects, and the folders that become empty.
    func delete(_ keys: [ObjectKey]) throws(ObjectStoreError) {
        let byFolder = Dictionary(grouping: keys.map { (key: $0, path: ObjectPath($0.rawValue.utf8)) }) {
            $0.path.folder
        }
        for (folder, objects) in byFolder.sorted(by: { $0.key < $1.key }) {
            let file: OpenFile
            do throws(SystemFailure) {
                file = try OpenFile(folder.isEmpty ? "." : folder, in: self.objects, O_RDONLY | O_DIRECTORY)
            } catch {
                if error.number == ENOENT || error.number == ENOTDIR { continue }
                throw ObjectStoreError(error, on: objects[0].key)
            }
            for object in objects {
                try io(object.key) { () throws(SystemFailure) in
                    try locks.holding(.object(object.key.rawValue.utf8)) { _ throws(SystemFailure) in
                        if unlinkat(file.descriptor, object.path.file, 0) != 0, errno != ENOENT {
                            throw SystemFailure(call: "unlink", path: "\(file.path)/\(object.path.file)", number: errno)
                        }
                    }
                }
            }
            do throws(SystemFailure) {
                try file.sync()
            } catch {
                throw .afterChange(error, on: objects[0].key)
            }
        }
        try io { () throws(SystemFailure) in
            for folder in byFolder.keys.sorted() { try removeEmptyFolders(folder) }
        }
    }

    // MARK: - Parts of a put

    /// A file in the making; its name goes with this value, its content stays under the names it was given meanwhile.
    private final class NewFile {
        let file: OpenFile
        let name: String
        let folder: OpenFile
        let version: ObjectVersion

        init(_ name: String, in folder: OpenFile, version: ObjectVersion) throws(SystemFailure) {
            file = try OpenFile(name, in: folder, O_RDWR | O_CREAT | O_EXCL)
            self.name = name
            self.folder = folder
            self.version = version
        }

        deinit { unlinkat(folder.descriptor, name, 0) }
    }

    /// Writes header and body into a file of this client's own, and waits until they are on the disk.
    private func write(_ payload: Payload, for key: ObjectKey) throws(ObjectStoreError) -> NewFile {
        let name = String(lastTemporary.add(1, ordering: .relaxed).newValue)
        var header = ObjectHeader()
        let new = try io(key) { () throws(SystemFailure) in
            try NewFile(name, in: temporary, version: header.versionText)
        }
        switch payload {
        case .bytes(let bytes):
            try io(key) { () throws(SystemFailure) in
                try new.file.write(bytes.span.bytes, at: Int64(ObjectHeader.byteCount), oneByOne: pieceTurn)
            }
            header.bodySize = UInt64(bytes.count)
        case .file(let path): header.bodySize = try copy(path, to: new.file, for: key)
        }
        let start = header.bytes
        try io(key) { () throws(SystemFailure) in
            try new.file.write(start.span.bytes, at: 0)
            try new.file.sync()
        }
        return new
    }

    private func copy(
        _ path: String, to file: OpenFile, for key: ObjectKey
    ) throws(ObjectStoreError) -> UInt64 {
        func refusal(_ failure: SystemFailure) -> ObjectStoreError {
            let reason = "\(failure.call) \(path): \(String(cString: strerror(failure.number)))"
            return ObjectStoreError(.invalidArgument, "\(key): the file to put cannot be read: \(reason)")
        }
        let source: OpenFile
        do throws(SystemFailure) {
            source = try OpenFile(path: path, O_RDONLY | O_NONBLOCK)
        } catch {
            throw refusal(error)
        }
        var size = 0
        while true {
            let part: [UInt8]
            do throws(SystemFailure) {
                part = try source.read(1 << 20, at: Int64(size))
            } catch {
                throw refusal(error)
            }
            if part.isEmpty { return UInt64(size) }
            let offset = Int64(ObjectHeader.byteCount + size)
            do throws(SystemFailure) {
                try file.write(part.span.bytes, at: offset, oneByOne: pieceTurn)
            } catch {
                throw ObjectStoreError(error, on: key)
            }
            size += part.count
        }
    }

    /// Gives the new file the object's name.
    /// - Returns: False when there is an object and it may not be replaced.
    private func publish(
        _ new: NewFile, at path: ObjectPath, as key: ObjectKey, replacing: Bool
    ) throws(ObjectStoreError) -> Bool {
        var isCalled = false
        do throws(SystemFailure) {
            return try locks.holding(.names, exclusive: false) { names throws(SystemFailure) in
                try ensureFolders(path.folder, under: names)
                let target = "\(objects.path)/\(path.relative)"
                isCalled = true
                if replacing {
                    try check("rename", target) {
                        renameat(temporary.descriptor, new.name, objects.descriptor, path.relative)
                    }
                    return true
                }
                if linkat(temporary.descriptor, new.name, objects.descriptor, path.relative, 0) == 0 { return true }
                let number = errno
                guard number == EEXIST else { throw SystemFailure(call: "link", path: target, number: number) }
                // A file server that lost its answer is asked again and finds our own link.
                return try new.file.status().st_nlink == 2
            }
        } catch {
            // What a file server answers that lost its first answer, or cannot answer at all.
            let isUnclear = isCalled && [EIO, ESTALE, ETIMEDOUT, ENOENT].contains(error.number)
            throw isUnclear ? .afterChange(error, on: key) : ObjectStoreError(error, on: key)
        }
    }

    // MARK: - Folders

    /// Makes a folder and those above it, their names on the disk.
    ///
    /// A folder that is there may have been made by a process that died before it synced the name. So each client syncs
    /// once itself, and again after any folder of the store was removed, which raises the generation.
    private func ensureFolders(_ folder: String, under names: HeldLock) throws(SystemFailure) {
        if folder.isEmpty { return }
        let generation = try names.generation()
        let isDurable = durableFolders.withLock { known in
            if known.generation != generation { known = DurableFolders(generation: generation) }
            return known.paths.contains(folder)
        }
        if isDurable { return }
        var path = ""
        for name in folder.split(separator: "/").map(String.init) {
            let parent = try OpenFile(path.isEmpty ? "." : path, in: objects, O_RDONLY | O_DIRECTORY)
            try makeFolder(name, in: parent)
            try parent.sync()
            path = ObjectPath.join(path, name)
        }
        durableFolders.withLock { known in
            if known.generation == generation { known.paths.insert(folder) }
        }
    }

    /// Removes a folder that is empty, then the one above it, and so on.
    private func removeEmptyFolders(_ folder: String) throws(SystemFailure) {
        if folder.isEmpty { return }
        try locks.holding(.names) { names throws(SystemFailure) in
            var path = folder
            while !path.isEmpty {
                do throws(SystemFailure) {
                    guard try OpenFile(path, in: objects, O_RDONLY | O_DIRECTORY).names().isEmpty else { return }
                } catch {
                    if error.number == ENOENT { return }
                    throw error
                }
                try names.raiseGeneration()
                try check("rmdir", "\(objects.path)/\(path)") { unlinkat(objects.descriptor, path, AT_REMOVEDIR) }
                path = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
            }
        }
    }
}
