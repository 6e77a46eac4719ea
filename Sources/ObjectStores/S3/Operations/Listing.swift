public import T4Protocols

extension S3Store {
    /// One page of names in byte order.
    public func list(
        prefix: ObjectKey, after: ObjectKey?, limit: Int
    ) async throws(ObjectStoreError) -> ListPage {
        try checkListing(prefix: prefix, after: after, limit: limit)
        var query = [
            QueryItem("list-type", "2"), QueryItem("encoding-type", "url"), QueryItem("max-keys", "\(limit)"),
        ]
        if !prefix.rawValue.isEmpty { query.append(QueryItem("prefix", prefix.rawValue)) }
        if let after, !after.rawValue.isEmpty { query.append(QueryItem("start-after", after.rawValue)) }
        var token: String?
        while true {
            let request = S3Request(
                method: .get, query: query + (token.map { [QueryItem("continuation-token", $0)] } ?? []),
                hasXMLAnswer: true, bodySizeMax: 16 << 20)
            let answer = try await send(request, .read)
            guard let root = answer.document, root.name == "ListBucketResult" else {
                throw ObjectStoreError(.unsupported, "list \(prefix): the answer of the service is no listing")
            }
            let page = try page(root, prefix: prefix, after: after)
            if !page.objects.isEmpty || !page.hasMore { return page }
            // A page may be empty although more follow; only the service's token leads past it.
            guard let next = root["NextContinuationToken"]?.text, next != token else {
                throw ObjectStoreError(.unsupported, "list \(prefix): an empty page says that more follow")
            }
            token = next
        }
    }

    /// Refuses what is no page of a listing.
    func checkListing(prefix: ObjectKey, after: ObjectKey?, limit: Int) throws(ObjectStoreError) {
        try check(prefix, isPrefix: true)
        if let after { try check(after, isPrefix: true) }
        guard (1...1000).contains(limit) else {
            throw ObjectStoreError(.invalidArgument, "list: \(limit) is not between 1 and 1000")
        }
    }

    private func page(
        _ root: XMLElement, prefix: ObjectKey, after: ObjectKey?
    ) throws(ObjectStoreError) -> ListPage {
        let isEncoded = root["EncodingType"]?.text == "url"
        var objects: [ObjectInfo] = []
        for entry in root.all("Contents") {
            guard let text = entry["Key"]?.text, let name = isEncoded ? PercentEncoding.decode(text) : text,
                let size = entry["Size"].flatMap({ UInt64($0.text) }), let tag = entry["ETag"]?.text
            else { throw ObjectStoreError(.unsupported, "list \(prefix): an entry lacks its name, size or ETag") }
            let key = ObjectKey(name)
            guard key.rawValue.utf8.starts(with: prefix.rawValue.utf8) else {
                throw ObjectStoreError(.unsupported, "list \(prefix): the service gives \"\(name)\" too")
            }
            if let last = objects.last?.key ?? after, !(last < key) {
                throw ObjectStoreError(
                    .unsupported,
                    "list \(prefix): the service gives \"\(name)\" after \"\(last)\", which is not the order of bytes")
            }
            objects.append(ObjectInfo(key: key, size: size, version: ObjectVersion(tag)))
        }
        return ListPage(objects: objects, hasMore: root["IsTruncated"]?.text == "true")
    }
}
