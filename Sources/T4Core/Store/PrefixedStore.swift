package import T4Protocols

/// The part of a store whose names begin with a prefix, as a store of its own.
package struct PrefixedStore: ObjectStore {
    private let base: any ObjectStore
    private let prefix: String

    /// - Parameter prefix: Stands before each name as it is; `t4/` for instance. Names are shorter by as much.
    package init(_ base: any ObjectStore, prefix: String) {
        self.base = base
        self.prefix = prefix
    }

    package var capabilities: ObjectStoreCapabilities { base.capabilities }

    package func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        var stored = try await base.get(full(key), bytes: bytes)
        stored.info = short(stored.info)
        return stored
    }

    package func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo {
        short(try await base.info(full(key)))
    }

    package func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        try await base.put(full(key), payload, when: condition)
    }

    package func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        var page = try await base.list(prefix: below(prefix), after: after.map(below), limit: limit)
        page.objects = page.objects.map(short)
        return page
    }

    package func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        var full: [ObjectKey] = []
        for key in keys { full.append(try self.full(key)) }
        try await base.delete(full)
    }

    package func close() async { await base.close() }

    /// The name in the store below. An empty name, which is none here, would be the prefix there.
    private func full(_ key: ObjectKey) throws(ObjectStoreError) -> ObjectKey {
        try key.checkAsName()
        return below(key)
    }

    private func below(_ key: ObjectKey) -> ObjectKey { ObjectKey(prefix + key.rawValue) }

    private func short(_ info: ObjectInfo) -> ObjectInfo {
        // By bytes: a letter may be one character with an accent behind it in the rest.
        let rest = info.key.rawValue.utf8.dropFirst(prefix.utf8.count)
        var info = info
        info.key = ObjectKey(String(decoding: rest, as: UTF8.self))
        return info
    }
}
