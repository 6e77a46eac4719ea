import Glibc
package import T4Protocols

/// One finished call of a store.
package struct StoreObservation: Sendable {
    /// A call of `ObjectStore`.
    package enum Operation: String, Sendable, CaseIterable {
        case get, info, put, list, delete
    }

    package var operation: Operation
    /// That of a put.
    package var condition = PutCondition.always
    /// Body bytes that a get returned.
    package var bytesRead: UInt64 = 0
    /// Body bytes of a put that succeeded.
    package var bytesWritten: UInt64 = 0
    /// Names that a list returned, or that a delete was given.
    package var nameCount = 0
    /// From the call to its answer.
    package var duration: Duration = .zero
    /// Nil when the call succeeded.
    package var failure: ObjectStoreError.Code?
}

/// Reports each call of a store once it is answered.
package struct MeteredStore: ObjectStore {
    private let base: any ObjectStore
    private let clock: any ElapsedClock
    private let report: @Sendable (StoreObservation) -> Void

    /// - Parameter report: Called on the task of the caller; must not block.
    package init(
        _ base: any ObjectStore, clock: any ElapsedClock = BootClock(),
        report: @escaping @Sendable (StoreObservation) -> Void
    ) {
        self.base = base
        self.clock = clock
        self.report = report
    }

    package var capabilities: ObjectStoreCapabilities { base.capabilities }

    package func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        try await measuring(.get) { () throws(ObjectStoreError) in
            try await base.get(key, bytes: bytes)
        } note: {
            $0.bytesRead = UInt64($1.bytes.count)
        }
    }

    package func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo {
        try await measuring(.info) { () throws(ObjectStoreError) in try await base.info(key) }
    }

    package func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        try await measuring(.put, condition) { () throws(ObjectStoreError) in
            try await base.put(key, payload, when: condition)
        } note: { observation, _ in
            observation.bytesWritten = MeteredStore.size(of: payload)
        }
    }

    package func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        try await measuring(.list) { () throws(ObjectStoreError) in
            try await base.list(prefix: prefix, after: after, limit: limit)
        } note: {
            $0.nameCount = $1.objects.count
        }
    }

    package func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        try await measuring(.delete, nameCount: keys.count) { () throws(ObjectStoreError) in
            try await base.delete(keys)
        }
    }

    package func close() async { await base.close() }

    private func measuring<Result>(
        _ operation: StoreObservation.Operation, _ condition: PutCondition = .always, nameCount: Int = 0,
        _ work: () async throws(ObjectStoreError) -> Result,
        note: (inout StoreObservation, Result) -> Void = { _, _ in }
    ) async throws(ObjectStoreError) -> Result {
        let start = clock.now
        var observation = StoreObservation(operation: operation, condition: condition, nameCount: nameCount)
        do throws(ObjectStoreError) {
            let result = try await work()
            note(&observation, result)
            observation.duration = clock.now - start
            report(observation)
            return result
        } catch {
            observation.failure = error.code
            observation.duration = clock.now - start
            report(observation)
            throw error
        }
    }

    /// Zero for a file that is gone by now: its size is of no use any more.
    private static func size(of payload: Payload) -> UInt64 {
        switch payload {
        case .bytes(let bytes): return UInt64(bytes.count)
        case .file(let path):
            // The store has just read the file, so this does not wait for a disk.
            var status = stat()
            return stat(path, &status) == 0 ? UInt64(status.st_size) : 0
        }
    }
}
