import Synchronization
public import T4Protocols

/// An object store on a bucket of Amazon S3 or of a service that speaks its protocol.
///
/// Requests are not repeated here, except where the service refused one and said how to do better: a caller that wants
/// more tries retries `.unavailable`. Many calls may run at once.
public final class S3Store: ObjectStore {
    /// Most bytes of an object that is read without a range.
    static let wholeReadSizeMax = 2 << 30

    let client: S3Client
    private let isClosed = Atomic(false)
    /// An answer has shown that the bucket is there.
    private let hasSeenBucket = Atomic(false)
    /// The service refused to delete many objects by one request.
    let lacksBulkDelete = Atomic(false)

    /// What S3 promises. Services that only look like it may break these promises; see docs/object-stores.md.
    public let capabilities = ObjectStoreCapabilities(putsIfAbsent: true, putsIfUnchanged: true, isDurable: true)

    /// Opens the store without a request to it.
    /// - Throws: `.invalidArgument` for a bucket, endpoint or region that is none, and for settings with `asOf`, which are
    ///   for `S3PastStore`; `.permissionDenied` when there are no credentials.
    public convenience init(_ settings: S3Settings, context: StoreContext) throws(ObjectStoreError) {
        try self.init(settings, context: context, environment: .process)
    }

    init(_ settings: S3Settings, context: StoreContext, environment: S3Environment) throws(ObjectStoreError) {
        if let moment = settings.asOf {
            throw ObjectStoreError(.invalidArgument, "as_of: only S3PastStore shows a bucket as it was at \(moment)")
        }
        client = try S3Client(settings, environment: environment, logger: context.logger)
    }

    /// Ends requests on their way; their callers get `.closed`, or `.outcomeUnknown` for puts that were sent.
    public func close() async {
        isClosed.store(true, ordering: .relaxed)
        await client.transport.close()
    }

    // MARK: - For the operations

    /// Sends a request and expects success.
    @discardableResult
    func send(
        _ request: S3Request, _ intent: Intent, isCancellable: Bool = true
    ) async throws(ObjectStoreError) -> S3Answer {
        let answer = try await answer(request, intent, isCancellable: isCancellable)
        guard answer.isSuccess else { throw answer.error(request, intent, at: client.place) }
        return answer
    }

    /// Sends a request; an answer of any status is a result.
    func answer(
        _ request: S3Request, _ intent: Intent, isCancellable: Bool = true
    ) async throws(ObjectStoreError) -> S3Answer {
        if isClosed.load(ordering: .relaxed) { throw ObjectStoreError(.closed, "the s3 store is closed") }
        do throws(S3Failure) {
            let answer = try await client.send(request, isCancellable: isCancellable)
            if answer.isSuccess || answer.code == "NoSuchKey" { hasSeenBucket.store(true, ordering: .relaxed) }
            return answer
        } catch {
            throw error.error(request, intent, at: client.place)
        }
    }

    /// False while a missing object could as well be a missing bucket.
    var knowsBucket: Bool { hasSeenBucket.load(ordering: .relaxed) }

    /// Refuses names that not every S3 service takes and gives back unchanged.
    func check(_ key: ObjectKey, isPrefix: Bool = false) throws(ObjectStoreError) {
        let count = key.rawValue.utf8.count
        guard count <= 1024, isPrefix || count > 0 else {
            throw ObjectStoreError(.invalidArgument, "a name has 1 ... 1024 bytes, not \(count)")
        }
        let isRefused = { (scalar: Unicode.Scalar) in
            scalar.value < 0x20 || scalar.value == 0x7f || scalar.value == 0xfffe || scalar.value == 0xffff
        }
        guard !key.rawValue.unicodeScalars.contains(where: isRefused) else {
            throw ObjectStoreError(
                .invalidArgument, "a name holds a control character: \(key.rawValue.debugDescription)")
        }
        let parts = key.rawValue.utf8.split(separator: UInt8(ascii: "/"))
        guard isPrefix || !parts.contains(where: { $0.elementsEqual(".".utf8) || $0.elementsEqual("..".utf8) }) else {
            throw ObjectStoreError(.invalidArgument, "\"\(key)\": a part of a name is neither . nor ..")
        }
    }
}
