public import T4Protocols

extension S3Store {
    /// Reads an object, or the part of it that `bytes` names.
    ///
    /// At most 2 GiB at once.
    public func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        try await get(key, bytes: bytes, version: nil)
    }

    /// As the other `get`, of a version.
    /// - Parameter version: The service's id of it, with a range that lies within it; nil for what is there now.
    func get(
        _ key: ObjectKey, bytes: Range<UInt64>?, version: String?
    ) async throws(ObjectStoreError) -> StoredBytes {
        try check(key)
        let query = version.map { [QueryItem("versionId", $0)] } ?? []
        guard let range = bytes else {
            let request = S3Request(method: .get, key: key, query: query, bodySizeMax: Self.wholeReadSizeMax)
            let response = try await send(request, .read).response
            // Without its length a body that was cut off would pass for a whole one.
            guard response.headers["content-length"] != nil || response.headers["transfer-encoding"] != nil else {
                throw ObjectStoreError(.unsupported, "get \(key): the service does not tell the length")
            }
            return StoredBytes(
                bytes: response.body, info: try info(key, response, size: UInt64(response.body.count)))
        }
        // No object reaches so far that its length would not fit; and not every service can read such a number.
        guard !range.isEmpty, range.lowerBound <= Int64.max else { return try await empty(key, at: range.lowerBound) }
        let asked = range.lowerBound..<min(range.upperBound, range.lowerBound + UInt64(Self.wholeReadSizeMax))
        let request = S3Request(
            method: .get, key: key, query: query,
            headers: [HTTPHeader("Range", "bytes=\(asked.lowerBound)-\(asked.upperBound - 1)")],
            bodySizeMax: asked.count)
        let answer = try await answer(request, .read)
        // There is no such byte; but reading from the very end on gives none, and that is no error.
        if answer.status == 416, version == nil { return try await empty(key, at: range.lowerBound) }
        guard answer.isSuccess else { throw answer.error(request, .read, at: client.place) }
        let stored = try part(key, asked, answer.response)
        guard min(range.upperBound, stored.info.size) <= asked.upperBound else {
            throw ObjectStoreError(
                .invalidArgument,
                "get \(key): bytes \(range) of \(stored.info.size) are more at once than \(Self.wholeReadSizeMax)")
        }
        return stored
    }

    /// Size and version of an object.
    public func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo {
        try check(key)
        let request = S3Request(method: .head, key: key)
        let answer = try await answer(request, .read)
        guard answer.isSuccess else {
            // The answer to a HEAD has no body that tells a missing object from a missing bucket.
            if answer.status == 404 && !knowsBucket { return try await infoByReading(key) }
            throw answer.error(request, .read, at: client.place)
        }
        guard let size = answer.response.headers["content-length"].flatMap({ UInt64($0) }) else {
            throw ObjectStoreError(.unsupported, "info of \(key): the service does not tell the size")
        }
        return try info(key, answer.response, size: size)
    }

    private func infoByReading(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo {
        let request = S3Request(
            method: .get, key: key, headers: [HTTPHeader("Range", "bytes=0-0")], bodySizeMax: 1)
        let answer = try await answer(request, .read)
        guard answer.isSuccess || answer.status == 416 else { throw answer.error(request, .read, at: client.place) }
        // Written just now.
        return try await info(key)
    }

    /// Nothing of an object that has at least `offset` bytes.
    private func empty(_ key: ObjectKey, at offset: UInt64) async throws(ObjectStoreError) -> StoredBytes {
        let info = try await info(key)
        guard offset <= info.size else {
            throw ObjectStoreError(
                .invalidArgument, "get \(key): it has \(info.size) bytes, none from \(offset) on")
        }
        return StoredBytes(bytes: [], info: info)
    }

    private func part(
        _ key: ObjectKey, _ range: Range<UInt64>, _ response: HTTPResponse
    ) throws(ObjectStoreError) -> StoredBytes {
        // A service may answer 200 where the range covers all of the object.
        if response.status == 200, range.lowerBound == 0 {
            return StoredBytes(
                bytes: response.body, info: try info(key, response, size: UInt64(response.body.count)))
        }
        guard response.status == 206, let content = response.headers["content-range"],
            let (given, size) = parseContentRange(content)
        else { throw ObjectStoreError(.unsupported, "get \(key): the service reads no ranges of objects") }
        guard given.lowerBound == range.lowerBound, given.upperBound == min(range.upperBound, size),
            response.body.count == given.count
        else {
            throw ObjectStoreError(
                .corrupted, "get \(key): asked for \(range), got \(response.body.count) bytes as \(content)")
        }
        return StoredBytes(bytes: response.body, info: try info(key, response, size: size))
    }

    private func info(_ key: ObjectKey, _ response: HTTPResponse, size: UInt64) throws(ObjectStoreError) -> ObjectInfo {
        guard let tag = response.headers["etag"] else {
            throw ObjectStoreError(.unsupported, "\(key): the service gives no ETag")
        }
        return ObjectInfo(key: key, size: size, version: ObjectVersion(tag))
    }
}

/// Reads `bytes 0-9/100`.
func parseContentRange(_ text: String) -> (Range<UInt64>, size: UInt64)? {
    guard text.hasPrefix("bytes "), let dash = text.firstIndex(of: "-"), let slash = text.firstIndex(of: "/"),
        dash < slash, let first = UInt64(text[..<dash].dropFirst("bytes ".count)),
        let last = UInt64(text[text.index(after: dash)..<slash]), let size = UInt64(text[text.index(after: slash)...]),
        first <= last, last < size
    else { return nil }
    return (first..<(last + 1), size)
}
