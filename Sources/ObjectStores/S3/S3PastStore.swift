import Logging
import Synchronization
public import T4Protocols

/// A bucket as it was at a moment, read only: `as_of` of the settings.
///
/// It needs a bucket that keeps versions, and shows what it kept: whatever was written, replaced or deleted after the
/// moment is as if that had not happened. The service dates a version, most services to the second; one of the very time
/// of the moment counts as written. Errors, repeats and concurrency are those of `S3Store`.
public final class S3PastStore: ObjectStore {
    /// Most versions that are remembered.
    private static let knownMax = 50_000

    private struct State {
        /// The bucket keeps versions, or nobody may know.
        var isChecked = false
        /// What listings said, by the bytes of names: what was there at a moment stays so.
        var known: [[UInt8]: Known] = [:]
    }

    private struct Known {
        var versionID: String
        var info: ObjectInfo
    }

    private let store: S3Store
    private let moment: Timestamp
    private let pageSize: Int
    private let state = Mutex(State())

    /// Keeps no condition, since it writes nothing.
    public let capabilities = ObjectStoreCapabilities(putsIfAbsent: false, putsIfUnchanged: false, isDurable: true)

    /// Opens the store without a request to it.
    /// - Throws: As `S3Store`; `.invalidArgument` when `asOf` is nil or lies in the future.
    public convenience init(_ settings: S3Settings, context: StoreContext) throws(ObjectStoreError) {
        try self.init(settings, context: context, environment: .process)
    }

    /// - Parameter pageSize: Most versions that a request asks for.
    init(
        _ settings: S3Settings, context: StoreContext, environment: S3Environment, pageSize: Int = 1000
    ) throws(ObjectStoreError) {
        guard let moment = settings.asOf else {
            throw ObjectStoreError(.invalidArgument, "as_of says which moment the store shows, and is not set")
        }
        let now = environment.clock.now()
        guard moment.nanoseconds / 1_000_000_000 <= UInt64(max(0, now.seconds)) else {
            throw ObjectStoreError(.invalidArgument, "as_of: \(moment) lies in the future")
        }
        self.moment = moment
        self.pageSize = pageSize
        var present = settings
        present.asOf = nil
        store = try S3Store(present, context: context, environment: environment)
    }

    /// Reads what the object held at the moment, or the part of it that `bytes` names; at most 2 GiB at once.
    /// - Throws: `.notFound` where it did not exist then; `.unsupported` for a bucket that keeps no versions, and where
    ///   it did not keep those of the moment.
    public func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        let version = try await version(of: key)
        let range = try version.info.cut(bytes)
        if range.isEmpty { return StoredBytes(bytes: [], info: version.info) }
        let stored = try await store.get(key, bytes: bytes == nil ? nil : range, version: version.versionID)
        guard stored.info.size == version.info.size else {
            throw ObjectStoreError(
                .corrupted,
                "get \(key): its version of \(moment) has \(stored.info.size) bytes, listed are "
                    + "\(version.info.size)")
        }
        return StoredBytes(bytes: stored.bytes, info: version.info)
    }

    /// Size and version of what was there at the moment; errors as for `get`.
    public func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo {
        try await version(of: key).info
    }

    /// One page of the names that were there at the moment, in byte order.
    ///
    /// Takes a request for each thousand versions and delete markers that the bucket keeps between the first name and
    /// the one behind the last.
    /// - Throws: `.unsupported` for a bucket that keeps no versions, and where it did not keep those of the moment.
    public func list(
        prefix: ObjectKey, after: ObjectKey?, limit: Int
    ) async throws(ObjectStoreError) -> ListPage {
        try store.checkListing(prefix: prefix, after: after, limit: limit)
        try await checkVersioning()
        var listing = VersionListing(store, at: moment, prefix: prefix, after: after, pageSize: pageSize)
        var objects: [ObjectInfo] = []
        while let object = try await listing.next() {
            guard let known = try known(object) else { continue }
            if objects.count == limit { return ListPage(objects: objects, hasMore: true) }
            objects.append(known.info)
        }
        return ListPage(objects: objects, hasMore: false)
    }

    /// Refused: `.unsupported`.
    public func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        throw readOnly("put \(key)")
    }

    /// Refused: `.unsupported`.
    public func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        throw readOnly("delete \(keys.first.map { "\($0)" } ?? "nothing")")
    }

    /// Ends requests on their way; their callers get `.closed`.
    public func close() async { await store.close() }

    // MARK: - Versions

    private func version(of key: ObjectKey) async throws(ObjectStoreError) -> Known {
        try store.check(key)
        try await checkVersioning()
        if let known = state.withLock({ $0.known[Array(key.rawValue.utf8)] }) { return known }
        var listing = VersionListing(store, at: moment, prefix: key, after: nil, pageSize: pageSize)
        // Of all names that begin with a name it is itself the first.
        guard let object = try await listing.next(), object.key.isSame(as: key), let known = try known(object) else {
            throw ObjectStoreError(.notFound, "\(key) was not there at \(moment)")
        }
        return known
    }

    /// What was there at the moment, which is remembered; nil where nothing was.
    private func known(_ object: PastObject) throws(ObjectStoreError) -> Known? {
        guard let version = try object.version(), let content = version.content else { return nil }
        let info = ObjectInfo(key: object.key, size: content.size, version: ObjectVersion(content.tag))
        let known = Known(versionID: version.id, info: info)
        state.withLock { state in
            if state.known.count >= Self.knownMax { state.known.removeAll() }
            state.known[Array(object.key.rawValue.utf8)] = known
        }
        return known
    }

    /// Asks the bucket once whether it keeps versions: one that does not would show what is there now.
    private func checkVersioning() async throws(ObjectStoreError) {
        if state.withLock({ $0.isChecked }) { return }
        let request = S3Request(method: .get, query: [QueryItem("versioning")], hasXMLAnswer: true)
        let answer = try await store.answer(request, .read)
        switch answer.status {
        case 403:
            // What was written without versions later than the moment is refused where it is met.
            store.client.logger.warning(
                """
                whether the bucket keeps versions cannot be asked, for want of s3:GetBucketVersioning; if it does not, \
                what was deleted is missing
                """, metadata: ["s3.answer": "\(answer.summary)"])
        case 405, 501: throw keepsNoVersions(answer.summary)
        default:
            guard answer.isSuccess else { throw answer.error(request, .read, at: store.client.place) }
            let status = answer.document?["Status"]?.text ?? ""
            // Suspended: the versions from before are kept.
            guard status == "Enabled" || status == "Suspended" else {
                throw keepsNoVersions(status.isEmpty ? "versioning was never enabled" : "versioning is \(status)")
            }
        }
        state.withLock { $0.isChecked = true }
    }

    private func keepsNoVersions(_ reason: String) -> ObjectStoreError {
        ObjectStoreError(
            .unsupported,
            "\(store.client.place) cannot be read as of \(moment): it keeps no versions (\(reason)), and what was deleted "
                + "is gone; enable versioning for the times to come, and leave out as_of to read what is there now")
    }

    private func readOnly(_ what: String) -> ObjectStoreError {
        ObjectStoreError(
            .unsupported, "\(what): the store shows the bucket as of \(moment), read only; leave out as_of")
    }
}
