/// A flat map of names to immutable bytes, durable beyond the loss of this machine.
///
/// Contract: a put is whole and durable when it returns; a get sees every finished put; `list` is in byte order and
/// sees every finished put; deleting an absent key succeeds.
public protocol ObjectStore: Sendable {
    /// What this store promises; data, never discovered by a cast.
    var capabilities: ObjectStoreCapabilities { get }

    /// Reads an object, or the part of it that `bytes` names.
    /// - Parameter bytes: Half-open; cut at the end of the object; nil for all.
    /// - Throws: `.notFound`, `.invalidArgument` when the range starts behind the end, `.unavailable`.
    func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes

    /// Size and version of an object.
    /// - Throws: `.notFound`, `.unavailable`.
    func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo

    /// Writes an object under a condition.
    /// - Returns: The version that a later `.unchanged(since:)` names.
    /// - Throws: `.alreadyExists` and `.conditionFailed`, the store is unchanged; `.outcomeUnknown`, read back before
    ///   anything else; `.unsupported` when the store cannot keep the condition; `.unavailable`, nothing was written.
    func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion

    /// One page of names in byte order.
    /// - Parameters:
    ///   - after: Names at or before this one are left out.
    ///   - limit: 1 ... 1000.
    func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage

    /// Deletes objects; absent ones count as deleted. After an error some may be gone and some not.
    func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError)

    /// Releases connections and threads. Safe twice; other calls throw `.closed` afterwards.
    func close() async
}

/// The name of an object: UTF-8, 1 ... 1024 bytes, parts separated by `/`. As a list prefix it may be empty.
public struct ObjectKey: Hashable, Comparable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
    /// The name as it is stored, below the configured prefix.
    public let rawValue: String

    /// Names an object.
    public init(_ rawValue: String) { self.rawValue = rawValue }

    /// Names an object.
    public init(stringLiteral value: String) { self.init(value) }

    /// Orders by UTF-8 bytes, as `list` does.
    public static func < (left: ObjectKey, right: ObjectKey) -> Bool {
        left.rawValue.utf8.lexicographicallyPrecedes(right.rawValue.utf8)
    }

    /// The name.
    public var description: String { rawValue }
}

/// Opaque version of an object, as the store gave it; compared only for equality and sent back as it came.
public struct ObjectVersion: Hashable, Sendable, CustomStringConvertible {
    /// The store's own text, an ETag for instance.
    public let rawValue: String

    /// Keeps a store's version text.
    public init(_ rawValue: String) { self.rawValue = rawValue }

    /// The store's own text.
    public var description: String { rawValue }
}

/// Size and version of an object.
public struct ObjectInfo: Hashable, Sendable {
    /// The object's name.
    public var key: ObjectKey
    /// Bytes.
    public var size: UInt64
    /// Version for `.unchanged(since:)`.
    public var version: ObjectVersion

    /// Describes an object.
    public init(key: ObjectKey, size: UInt64, version: ObjectVersion) {
        self.key = key
        self.size = size
        self.version = version
    }
}

/// Bytes read from an object, with the version and whole size of that object.
public struct StoredBytes: Sendable {
    /// What was asked for.
    public var bytes: [UInt8]
    /// The object they belong to.
    public var info: ObjectInfo

    /// Pairs bytes with their object.
    public init(bytes: [UInt8], info: ObjectInfo) {
        self.bytes = bytes
        self.info = info
    }
}

/// What a put writes. Large bodies come from a file; splitting them is the store's business.
public enum Payload: Sendable {
    /// Bytes in memory.
    case bytes([UInt8])
    /// The whole content of the file at this path, which must not change during the put.
    case file(path: String)
}

/// When a put may happen.
public enum PutCondition: Hashable, Sendable {
    /// Always; replaces what is there.
    case always
    /// Only when there is no object of that name.
    case absent
    /// Only when the object still has that version.
    ///
    /// A version may be a hash of the body (the entity tags of S3): a body that was there before has its old version
    /// again. Whoever swaps must write a body that never was, for example one with a nonce.
    case unchanged(since: ObjectVersion)
}

/// One page of a listing.
public struct ListPage: Sendable {
    /// In byte order of their names.
    public var objects: [ObjectInfo]
    /// True when more follow; go on with `after` set to the last name.
    public var hasMore: Bool

    /// Describes a page.
    public init(objects: [ObjectInfo], hasMore: Bool) {
        self.objects = objects
        self.hasMore = hasMore
    }
}

/// What a store promises.
public struct ObjectStoreCapabilities: Hashable, Sendable {
    /// `.absent` is atomic against every other writer of the store.
    public var putsIfAbsent: Bool
    /// `.unchanged(since:)` is atomic against every other writer of the store.
    public var putsIfUnchanged: Bool
    /// Objects outlive this process.
    public var isDurable: Bool

    /// States what a store promises.
    public init(putsIfAbsent: Bool, putsIfUnchanged: Bool, isDurable: Bool) {
        self.putsIfAbsent = putsIfAbsent
        self.putsIfUnchanged = putsIfUnchanged
        self.isDurable = isDurable
    }
}

/// What went wrong in an object store.
public struct ObjectStoreError: Error, Sendable, CustomStringConvertible {
    /// What a caller can act on.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String {
            case notFound, alreadyExists, conditionFailed, unavailable, outcomeUnknown, corrupted, noSpace, closed
            case invalidArgument, unsupported, permissionDenied
        }
        private let value: Value
        private init(_ value: Value) { self.value = value }

        /// No object of that name.
        public static let notFound = Code(.notFound)
        /// A put with `.absent` met an object.
        public static let alreadyExists = Code(.alreadyExists)
        /// A put with `.unchanged(since:)` met another version or no object.
        public static let conditionFailed = Code(.conditionFailed)
        /// Try again with backoff; nothing was changed.
        public static let unavailable = Code(.unavailable)
        /// A change may or may not have happened, and may yet happen; read back.
        public static let outcomeUnknown = Code(.outcomeUnknown)
        /// Bytes that came back are not those that were written.
        public static let corrupted = Code(.corrupted)
        /// The store is full.
        public static let noSpace = Code(.noSpace)
        /// The store was closed.
        public static let closed = Code(.closed)
        /// A name, range or limit outside the contract.
        public static let invalidArgument = Code(.invalidArgument)
        /// The store lacks the capability.
        public static let unsupported = Code(.unsupported)
        /// Credentials are missing, wrong or insufficient.
        public static let permissionDenied = Code(.permissionDenied)

        /// The code's name.
        public var description: String { value.rawValue }
    }

    /// What a caller can act on.
    public var code: Code
    /// What failed, with the object's name, and what to try.
    public var message: String
    /// The error below, if any.
    public var cause: (any Error)?

    /// Describes a failure.
    public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// Message and cause, for a log line.
    public var description: String { cause.map { "\(message): \($0)" } ?? message }
}
