public import T4Protocols

extension S3Store {
    /// Writes an object under a condition; a large one in parts, which become visible at once at the end.
    ///
    /// A put whose outcome is unknown throws `.outcomeUnknown` also without a condition: it may still land.
    public func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        try check(key)
        let headers = try conditionHeaders(condition)
        let source = try PayloadSource(payload, background: client.background)
        if source.size > UInt64(client.settings.multipartThresholdBytes) {
            let upload = MultipartUpload(store: self, key: key, condition: condition, conditionHeaders: headers)
            return try await upload.run(source)
        }
        let body = try await source.bytes(at: 0, count: Int(source.size))
        let request = S3Request(
            method: .put, key: key, headers: headers, body: body, mayRepeat: condition == .always)
        let answer = try await send(request, .put(condition))
        return try version(answer.response.headers["etag"], of: key)
    }

    /// The version that a put made.
    func version(_ tag: String?, of key: ObjectKey) throws(ObjectStoreError) -> ObjectVersion {
        guard let tag, !tag.isEmpty else {
            throw ObjectStoreError(.outcomeUnknown, "put \(key): the service gives no ETag for what it wrote")
        }
        return ObjectVersion(tag)
    }

    private func conditionHeaders(_ condition: PutCondition) throws(ObjectStoreError) -> [HTTPHeader] {
        switch condition {
        case .always: return []
        case .absent: return [HTTPHeader("If-None-Match", "*")]
        case .unchanged(let version):
            var tag = version.rawValue
            let isTag = { (byte: UInt8) in byte > 0x20 && byte < 0x7f }
            guard !tag.isEmpty, tag.utf8.allSatisfy(isTag), tag != "*" else {
                throw ObjectStoreError(.invalidArgument, "\(tag.debugDescription) is no version of an object")
            }
            if client.settings.hasUnquotedETags { tag.removeAll { $0 == "\"" } }
            return [HTTPHeader("If-Match", tag)]
        }
    }
}

/// Where the bytes of a put come from.
struct PayloadSource: Sendable {
    private enum Origin: Sendable {
        case bytes([UInt8])
        case file(ReadFile)
    }

    private let origin: Origin
    private let background: BackgroundWork
    let size: UInt64

    /// - Throws: `.invalidArgument` when the file cannot be read.
    init(_ payload: Payload, background: BackgroundWork) throws(ObjectStoreError) {
        self.background = background
        switch payload {
        case .bytes(let bytes):
            origin = .bytes(bytes)
            size = UInt64(bytes.count)
        case .file(let path):
            do throws(SmallFile.Failure) {
                let file = try ReadFile(path)
                origin = .file(file)
                size = try file.size()
            } catch {
                throw ObjectStoreError(.invalidArgument, "the file to put cannot be read", cause: error)
            }
        }
    }

    /// A piece within `size`.
    func bytes(at offset: UInt64, count: Int) async throws(ObjectStoreError) -> [UInt8] {
        switch origin {
        case .bytes(let bytes):
            return count == bytes.count ? bytes : Array(bytes[Int(offset)...].prefix(count))
        case .file(let file):
            let piece: Result<[UInt8], SmallFile.Failure> = await background.run {
                do throws(SmallFile.Failure) {
                    return .success(try file.read(at: offset, count: count))
                } catch {
                    return .failure(error)
                }
            }
            switch piece {
            case .success(let bytes) where bytes.count == count: return bytes
            case .success:
                throw ObjectStoreError(.invalidArgument, "the file to put became shorter during the put")
            case .failure(let error):
                throw ObjectStoreError(.invalidArgument, "the file to put cannot be read", cause: error)
            }
        }
    }
}
