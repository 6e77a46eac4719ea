import Dispatch
public import T4Protocols

/// Settings of the `onefile` store, `[store.onefile]`.
public struct OneFileSettings: Decodable, Sendable {
    /// The file, made when it is missing; `path`, required.
    public var path: String

    /// The keys for help and documents.
    public static let descriptions = [
        SettingDescription(
            "path", value: "FILE", defaultText: "required",
            "The file that holds all objects, created when it is missing. Keep it on another disk than the data directory."
        )
    ]

    private enum CodingKeys: String, CodingKey { case path }

    /// Reads the key.
    /// - Throws: `DecodingError` when it is missing or empty.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        path = try values.decode(String.self, forKey: .path)
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw DecodingError.dataCorruptedError(
                forKey: .path, in: values, debugDescription: "\(path.debugDescription) is no path of a file")
        }
    }

    /// The file at that path.
    public init(path: String) { self.path = path }
}

/// A store in one file that only grows: a small one that keeps every rule.
///
/// Any number of processes of one machine may use the file at once. The names of all objects are in memory, and what is
/// replaced or deleted keeps its place in the file, so it is for small data.
public final class OneFileStore: ObjectStore {
    /// Writers take turns by a lock on the file, so conditions are atomic.
    public let capabilities = ObjectStoreCapabilities(putsIfAbsent: true, putsIfUnchanged: true, isDurable: true)

    /// Calls block on the disk here, one at a time, and not on a thread that Swift's tasks need.
    private let queue = DispatchQueue(label: "onefile-store")
    /// Used on `queue` alone.
    private nonisolated(unsafe) var file: ObjectFile?

    /// Opens the file or makes it.
    /// - Throws: `.corrupted` when it is something else; `.permissionDenied`, `.noSpace`, `.unavailable`.
    public init(_ settings: OneFileSettings) async throws(ObjectStoreError) {
        let path = settings.path
        file = try await Self.run(on: queue) { () throws(ObjectStoreError) in try ObjectFile(path: path) }
    }

    deinit { file?.close() }

    /// Reads an object or a part of it.
    public func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        try key.checkAsName()
        return try await withFile { file throws(ObjectStoreError) in
            let object = try file.object(key)
            return StoredBytes(bytes: try file.body(of: object, object.info.cut(bytes)), info: object.info)
        }
    }

    /// Size and version of an object.
    public func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo {
        try key.checkAsName()
        return try await withFile { file throws(ObjectStoreError) in try file.object(key).info }
    }

    /// Writes an object under a condition; on the disk when it returns.
    public func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        try key.checkAsName()
        return try await withFile { file throws(ObjectStoreError) in
            let body =
                switch payload {
                case .bytes(let bytes): bytes
                case .file(let path): try ObjectFile.content(ofPayload: path)
                }
            return try file.put(key, body, when: condition)
        }
    }

    /// One page of names in byte order.
    public func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        try prefix.checkAsPrefix()
        try after?.checkAsPrefix()
        try ListPage.check(limit: limit)
        return try await withFile { file throws(ObjectStoreError) in
            let found = try file.objects().filter {
                $0.key.rawValue.utf8.starts(with: prefix.rawValue.utf8)
                    && (after.map { [key = $0.key] in $0 < key } ?? true)
            }.sorted { $0.key < $1.key }
            return ListPage(objects: Array(found.prefix(limit)), hasMore: found.count > limit)
        }
    }

    /// Deletes objects, all in one step.
    public func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        for key in keys { try key.checkAsName() }
        try await withFile { file throws(ObjectStoreError) in try file.delete(keys) }
    }

    /// Waits for the calls that have begun and closes the file.
    public func close() async {
        await withCheckedContinuation { continuation in
            queue.async {
                self.file?.close()
                self.file = nil
                continuation.resume()
            }
        }
    }

    private func withFile<Result: Sendable>(
        _ work: @escaping @Sendable (inout ObjectFile) throws(ObjectStoreError) -> Result
    ) async throws(ObjectStoreError) -> Result {
        try await Self.run(on: queue) { () throws(ObjectStoreError) in
            guard self.file != nil else { throw ObjectStoreError(.closed, "the store was closed") }
            return try work(&self.file!)
        }
    }

    private static func run<Result: Sendable>(
        on queue: DispatchQueue, _ work: @escaping @Sendable () throws(ObjectStoreError) -> Result
    ) async throws(ObjectStoreError) -> Result {
        let result = await withCheckedContinuation { continuation in
            queue.async {
                do throws(ObjectStoreError) {
                    continuation.resume(returning: Swift.Result<Result, ObjectStoreError>.success(try work()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }
}
