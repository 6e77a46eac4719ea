import Dispatch
import FoundationEssentials
import Synchronization
public import T4Protocols

/// Settings of the `memory` store: it has none.
public struct MemoryStoreSettings: Decodable, Sendable {
    /// The only settings there are.
    public init() {}
}

/// A store that keeps objects in memory and loses them when the process ends.
///
/// For tests and trials. Several stores on one `MemoryStorage` behave like several clients of one bucket; closing one
/// and making another is a restart.
public final class MemoryStore: ObjectStore {
    private let storage: MemoryStorage
    private let isClosed = Atomic(false)
    /// Files of payloads are read here, one at a time, not on a thread that other tasks need.
    private let files = DispatchQueue(label: "t4.memory-store.files")

    /// A client of that storage; of new, empty storage when none is given.
    public init(_ storage: MemoryStorage = MemoryStorage()) { self.storage = storage }

    /// Conditions are atomic; nothing survives the process.
    public var capabilities: ObjectStoreCapabilities {
        ObjectStoreCapabilities(putsIfAbsent: true, putsIfUnchanged: true, isDurable: false)
    }

    /// Reads an object or a part of it.
    public func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        let object = try object(key)
        let range = try object.info.cut(bytes)
        return StoredBytes(
            bytes: Array(object.body[Int(range.lowerBound)..<Int(range.upperBound)]), info: object.info)
    }

    /// Size and version of an object.
    public func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo { try object(key).info }

    /// Writes an object; each put gives a version that no other put of the storage has had.
    public func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        try checkOpen()
        try key.checkAsName()
        let body: [UInt8]
        switch payload {
        case .bytes(let bytes): body = bytes
        case .file(let path): body = try await content(ofFile: path, for: key).get()
        }
        return try storage.put(key, body, when: condition)
    }

    /// One page of names in byte order.
    public func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        try checkOpen()
        try prefix.checkAsPrefix()
        try after?.checkAsPrefix()
        try ListPage.check(limit: limit)
        return storage.list(prefix: prefix, after: after, limit: limit)
    }

    /// Deletes objects, all in one step.
    public func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        try checkOpen()
        for key in keys { try key.checkAsName() }
        storage.delete(keys)
    }

    /// Refuses all other calls from now on; the storage stays as it is.
    public func close() async { isClosed.store(true, ordering: .releasing) }

    private func checkOpen() throws(ObjectStoreError) {
        if isClosed.load(ordering: .acquiring) { throw ObjectStoreError(.closed, "the memory store was closed") }
    }

    private func object(_ key: ObjectKey) throws(ObjectStoreError) -> MemoryStorage.Object {
        try checkOpen()
        try key.checkAsName()
        guard let object = storage.object(key) else {
            throw ObjectStoreError(.notFound, "\(key): there is no such object")
        }
        return object
    }

    private func content(ofFile path: String, for key: ObjectKey) async -> Result<[UInt8], ObjectStoreError> {
        await withCheckedContinuation { continuation in
            files.async {
                do {
                    continuation.resume(returning: .success(Array(try Data(contentsOf: URL(filePath: path)))))
                } catch {
                    continuation.resume(
                        returning: .failure(
                            ObjectStoreError(
                                .invalidArgument, "\(key): the file \(path) cannot be read", cause: error)))
                }
            }
        }
    }
}
