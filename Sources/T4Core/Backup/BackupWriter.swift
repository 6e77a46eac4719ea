import Synchronization
package import T4Protocols

/// Writes the file of a backup from its beginning to its end: a store whose objects become the records of a file, in the order in
/// which they are put.
///
/// What it took it gives back only where that is neither a table nor a part of the log: who writes a checkpoint asks for no more.
package final class BackupWriter: ObjectStore {
    /// Takes the next bytes of the file. May block; never called twice at once.
    package typealias Output = @Sendable ([UInt8]) throws -> Void

    private struct Written {
        var size: UInt64
        var bytes: [UInt8]?
    }

    private struct State: ~Copyable {
        let hash = SHA256()
        var objects: [ObjectKey: Written] = [:]
        var size = 0
        /// After this nothing can be added.
        var failure: (any Error)?

        mutating func append(_ bytes: [UInt8], to output: Output) throws {
            hash.update(bytes.span.bytes)
            size += bytes.count
            try output(bytes)
        }
    }

    private let output: Output
    private let state = Mutex(State())

    /// Begins the file. Blocks.
    /// - Throws: What `output` throws.
    init(_ content: BackupFormat.Content, _ output: @escaping Output) throws {
        self.output = output
        try state.withLock { try $0.append(BackupFormat.header(content), to: output) }
    }

    /// What `output` threw.
    package var failure: (any Error)? { state.withLock { $0.failure } }

    /// Ends the file. Blocks.
    /// - Returns: Its bytes.
    /// - Throws: What `output` throws, also at an object before.
    package func finish() throws -> Int {
        try state.withLock { state in
            if let failure = state.failure { throw failure }
            try state.append(BackupFormat.end(objectCount: state.objects.count), to: output)
            try state.append(state.hash.digest(), to: output)
            return state.size
        }
    }

    package var capabilities: ObjectStoreCapabilities {
        ObjectStoreCapabilities(putsIfAbsent: true, putsIfUnchanged: false, isDurable: false)
    }

    package func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        let written = try written(key)
        guard let content = written.bytes else {
            throw ObjectStoreError(.unsupported, "\(key): a backup that is being written cannot be read")
        }
        let info = info(key, written)
        let range = try info.cut(bytes)
        return StoredBytes(bytes: Array(content[Int(range.lowerBound)..<Int(range.upperBound)]), info: info)
    }

    package func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo { info(key, try written(key)) }

    package func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        try key.checkAsName()
        do {
            return try await SystemThread.run("t4-backup") { try self.add(key, payload, condition) }
        } catch let error as ObjectStoreError {
            throw error
        } catch {
            throw ObjectStoreError(.unavailable, "the backup cannot be written", cause: error)
        }
    }

    package func list(
        prefix: ObjectKey, after: ObjectKey?, limit: Int
    ) async throws(ObjectStoreError) -> ListPage {
        try ListPage.check(limit: limit)
        let all = state.withLock { $0.objects }
        let names = all.keys.filter { $0.rawValue.hasPrefix(prefix.rawValue) }.sorted()
        let rest = names.filter { name in after.map { name > $0 } ?? true }
        let found = rest.prefix(limit).compactMap { name in all[name].map { info(name, $0) } }
        return ListPage(objects: found, hasMore: rest.count > limit)
    }

    package func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        throw ObjectStoreError(.unsupported, "nothing of a backup can be deleted")
    }

    package func close() async {}

    private func written(_ key: ObjectKey) throws(ObjectStoreError) -> Written {
        guard let written = state.withLock({ $0.objects[key] }) else {
            throw ObjectStoreError(.notFound, "\(key): there is no such object in the backup")
        }
        return written
    }

    private func info(_ key: ObjectKey, _ written: Written) -> ObjectInfo {
        ObjectInfo(key: key, size: written.size, version: ObjectVersion(key.rawValue))
    }

    private func add(_ key: ObjectKey, _ payload: Payload, _ condition: PutCondition) throws -> ObjectVersion {
        let body: [UInt8]
        switch payload {
        case .bytes(let bytes): body = bytes
        case .file(let path): body = try DurableFile.readBytes(path) ?? []
        }
        return try state.withLock { state in
            if let failure = state.failure { throw failure }
            if case .unchanged = condition {
                throw ObjectStoreError(.conditionFailed, "\(key): nothing of a backup is replaced")
            }
            if state.objects[key] != nil {
                // Names of tables say what is in them.
                guard condition == .always, key.rawValue.hasPrefix(StoreLayout.tables.rawValue) else {
                    throw ObjectStoreError(.alreadyExists, "\(key): it is in the backup already")
                }
                return ObjectVersion(key.rawValue)
            }
            do {
                try state.append(BackupFormat.head(of: key, size: body.count), to: output)
                try state.append(body, to: output)
            } catch {
                state.failure = error
                throw error
            }
            let isLarge = [StoreLayout.tables, StoreLayout.log].contains { key.rawValue.hasPrefix($0.rawValue) }
            state.objects[key] = Written(size: UInt64(body.count), bytes: isLarge ? nil : body)
            return ObjectVersion(key.rawValue)
        }
    }
}
