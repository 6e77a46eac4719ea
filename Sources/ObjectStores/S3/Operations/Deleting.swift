import Synchronization
public import T4Protocols

extension S3Store {
    /// Most names of one request.
    private static let bulkSize = 1000
    /// Single deletes on their way at once, where the service has no request for many.
    private static let parallelism = 16

    /// Deletes objects; absent ones count as deleted. After an error some may be gone and some not.
    public func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        for key in keys { try check(key) }
        var rest = keys[...]
        while !rest.isEmpty {
            let batch = Array(rest.prefix(Self.bulkSize))
            rest = rest.dropFirst(batch.count)
            if batch.count > 1, !lacksBulkDelete.load(ordering: .relaxed), try await deleteTogether(batch) { continue }
            try await deleteOneByOne(batch)
        }
    }

    /// False when the service has no such request.
    private func deleteTogether(_ keys: [ObjectKey]) async throws(ObjectStoreError) -> Bool {
        let names = keys.map { "<Object><Key>\(xmlEscaped($0.rawValue))</Key></Object>" }
        let request = S3Request(
            method: .post, query: [QueryItem("delete")], headers: [HTTPHeader("Content-Type", "application/xml")],
            body: Array("<Delete>\(names.joined())<Quiet>true</Quiet></Delete>".utf8), needsMD5: true,
            hasXMLAnswer: true, bodySizeMax: 4 << 20)
        let answer = try await answer(request, .repeatable)
        if [405, 501].contains(answer.status) || answer.code == "NotImplemented" {
            lacksBulkDelete.store(true, ordering: .relaxed)
            return false
        }
        guard answer.isSuccess else { throw answer.error(request, .repeatable, at: client.place) }
        guard let root = answer.document, root.name == "DeleteResult" else {
            throw ObjectStoreError(.unavailable, "delete: the answer of the service tells no result")
        }
        let failed = root.all("Error").filter { $0["Code"]?.text != "NoSuchKey" }
        guard let first = failed.first else { return true }
        let code = first["Code"]?.text ?? "an error"
        throw ObjectStoreError(
            code == "AccessDenied" ? .permissionDenied : .unavailable,
            "delete: \(failed.count) of \(keys.count) objects failed; \(first["Key"]?.text ?? "one"): \(code)"
                + (first["Message"].map { ", \($0.text)" } ?? ""))
    }

    private func deleteOneByOne(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        let result: Result<Void, ObjectStoreError> = await withTaskGroup(of: Result<Void, ObjectStoreError>.self) {
            group in
            var rest = keys[...]
            var running = 0
            while running > 0 || !rest.isEmpty {
                while running < Self.parallelism, let key = rest.popFirst() {
                    group.addTask { await self.deleteOne(key) }
                    running += 1
                }
                if case .failure(let error) = await group.next()! {
                    group.cancelAll()
                    return .failure(error)
                }
                running -= 1
            }
            return .success(())
        }
        try result.get()
    }

    private func deleteOne(_ key: ObjectKey) async -> Result<Void, ObjectStoreError> {
        do throws(ObjectStoreError) {
            let request = S3Request(method: .delete, key: key)
            let answer = try await answer(request, .repeatable)
            if answer.isSuccess || answer.code == "NoSuchKey" { return .success(()) }
            return .failure(answer.error(request, .repeatable, at: client.place))
        } catch {
            return .failure(error)
        }
    }
}
