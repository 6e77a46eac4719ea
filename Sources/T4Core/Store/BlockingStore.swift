package import T4Protocols

/// An object store for threads that may wait: those of the log, of checkpoints and of restores.
///
/// Never to be used from a task, whose thread would wait for work that needs it.
package struct BlockingStore: Sendable {
    package let store: any ObjectStore

    package init(_ store: any ObjectStore) { self.store = store }

    /// A call that is under way.
    package final class Pending<Value: Sendable>: Sendable {
        private let outcome = Monitor<Result<Value, ObjectStoreError>?>(nil)

        fileprivate func finish(_ result: Result<Value, ObjectStoreError>) {
            outcome.withLock { $0 = result }
            outcome.broadcast()
        }

        /// Waits for the end of the call. May be asked again.
        package func wait() throws(ObjectStoreError) -> Value {
            try outcome.wait { $0 }.get()
        }
    }

    /// Starts a call.
    package func start<Value: Sendable>(
        _ call: @escaping @Sendable (any ObjectStore) async throws(ObjectStoreError) -> Value
    ) -> Pending<Value> {
        let pending = Pending<Value>()
        let store = store
        Task {
            do throws(ObjectStoreError) {
                pending.finish(.success(try await call(store)))
            } catch {
                pending.finish(.failure(error))
            }
        }
        return pending
    }

    package func get(_ key: ObjectKey, bytes: Range<UInt64>? = nil) throws(ObjectStoreError) -> StoredBytes {
        try start { (store) throws(ObjectStoreError) in try await store.get(key, bytes: bytes) }.wait()
    }

    /// The object, or nil when there is none.
    package func find(_ key: ObjectKey) throws(ObjectStoreError) -> StoredBytes? {
        do throws(ObjectStoreError) {
            return try get(key)
        } catch {
            if error.code == .notFound { return nil }
            throw error
        }
    }

    package func put(
        _ key: ObjectKey, _ bytes: [UInt8], when condition: PutCondition
    ) throws(ObjectStoreError) -> ObjectVersion {
        try start { (store) throws(ObjectStoreError) in
            try await store.put(key, .bytes(bytes), when: condition)
        }.wait()
    }

    package func delete(_ keys: [ObjectKey]) throws(ObjectStoreError) {
        try start { (store) throws(ObjectStoreError) in try await store.delete(keys) }.wait()
    }

    /// All objects whose names start with `prefix`, in order, from behind `first` up to `last`.
    package func list(
        _ prefix: ObjectKey, after first: ObjectKey? = nil, through last: ObjectKey? = nil,
        visit: (ObjectInfo) throws -> Void
    ) throws {
        var after = first
        while true {
            let start = after
            let page = try self.start { (store) throws(ObjectStoreError) in
                try await store.list(prefix: prefix, after: start, limit: 1000)
            }.wait()
            for object in page.objects {
                if let last, last < object.key { return }
                try visit(object)
            }
            guard page.hasMore, let end = page.objects.last else { return }
            after = end.key
        }
    }
}
