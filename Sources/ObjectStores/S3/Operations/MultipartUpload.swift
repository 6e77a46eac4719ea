import Logging
import T4Protocols

/// A put in parts. Nothing of it is visible before its last request, which carries the condition.
struct MultipartUpload: Sendable {
    /// Parts on their way at once.
    private static let parallelism = 4
    /// Most parts of one object.
    private static let partsMax = 10_000

    let store: S3Store
    let key: ObjectKey
    let condition: PutCondition
    let conditionHeaders: [HTTPHeader]

    private struct Part: Sendable {
        var number: Int
        var tag: String
    }

    /// Sends all of it. The parts of an upload that failed are thrown away, unless it may yet complete.
    func run(_ source: PayloadSource) async throws(ObjectStoreError) -> ObjectVersion {
        let id = try await begin()
        let parts: [Part]
        do throws(ObjectStoreError) {
            parts = try await sendParts(source, id)
        } catch {
            await abort(id)
            throw error
        }
        do throws(ObjectStoreError) {
            return try await complete(id, parts)
        } catch {
            if error.code != .outcomeUnknown { await abort(id) }
            throw error
        }
    }

    private func begin() async throws(ObjectStoreError) -> String {
        let request = S3Request(
            method: .post, key: key, query: [QueryItem("uploads")], mayRepeat: false, hasXMLAnswer: true)
        let answer = try await store.send(request, .repeatable)
        guard let id = answer.document?["UploadId"]?.text, !id.isEmpty else {
            throw ObjectStoreError(.unavailable, "put \(key): the service began an upload without an id")
        }
        return id
    }

    private func sendParts(_ source: PayloadSource, _ id: String) async throws(ObjectStoreError) -> [Part] {
        let smallest = UInt64(store.client.settings.partSizeBytes)
        let partSize = max(smallest, (source.size + UInt64(Self.partsMax) - 1) / UInt64(Self.partsMax))
        let count = Int((source.size + partSize - 1) / partSize)
        let result: Result<[Part], ObjectStoreError> = await withTaskGroup(of: Result<Part, ObjectStoreError>.self) {
            group in
            var parts: [Part] = []
            var started = 0
            while parts.count < count {
                while started < count && started - parts.count < Self.parallelism {
                    let number = started + 1
                    let offset = UInt64(started) * partSize
                    let size = Int(min(partSize, source.size - offset))
                    group.addTask { await sendPart(number, source, offset, size, id) }
                    started += 1
                }
                switch await group.next()! {
                case .success(let part): parts.append(part)
                case .failure(let error):
                    group.cancelAll()
                    return .failure(error)
                }
            }
            return .success(parts.sorted { $0.number < $1.number })
        }
        return try result.get()
    }

    private func sendPart(
        _ number: Int, _ source: PayloadSource, _ offset: UInt64, _ size: Int, _ id: String
    ) async -> Result<Part, ObjectStoreError> {
        do throws(ObjectStoreError) {
            let body = try await source.bytes(at: offset, count: size)
            let query = [QueryItem("partNumber", "\(number)"), QueryItem("uploadId", id)]
            let request = S3Request(method: .put, key: key, query: query, body: body)
            guard let tag = try await store.send(request, .repeatable).response.headers["etag"] else {
                throw ObjectStoreError(.unsupported, "put \(key): the service gives no ETag for part \(number)")
            }
            return .success(Part(number: number, tag: tag))
        } catch {
            return .failure(error)
        }
    }

    private func complete(_ id: String, _ parts: [Part]) async throws(ObjectStoreError) -> ObjectVersion {
        let list = parts.map { "<Part><PartNumber>\($0.number)</PartNumber><ETag>\(xmlEscaped($0.tag))</ETag></Part>" }
        let body = "<CompleteMultipartUpload>\(list.joined())</CompleteMultipartUpload>"
        let request = S3Request(
            method: .post, key: key, query: [QueryItem("uploadId", id)],
            headers: [HTTPHeader("Content-Type", "application/xml")] + conditionHeaders, body: Array(body.utf8),
            mayRepeat: false, hasXMLAnswer: true)
        let answer = try await store.send(request, .put(condition))
        return try store.version(answer.document?["ETag"]?.text, of: key)
    }

    /// Goes on when the task was cancelled. An error changes nothing for the caller, who has one already; the bucket's
    /// rule for abandoned uploads takes care of the rest.
    private func abort(_ id: String) async {
        let request = S3Request(method: .delete, key: key, query: [QueryItem("uploadId", id)])
        do throws(ObjectStoreError) {
            try await store.send(request, .repeatable, isCancellable: false)
        } catch {
            store.client.logger.info(
                "the parts of a failed upload stay in the bucket",
                metadata: ["s3.key": "\(key)", "error": "\(error)"])
        }
    }
}

/// A text as it stands in XML.
func xmlEscaped(_ text: String) -> String {
    var result = ""
    for character in text.unicodeScalars {
        switch character {
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "\"": result += "&quot;"
        default: result.unicodeScalars.append(character)
        }
    }
    return result
}
