import T4Protocols

/// Goes through the objects below a prefix as they were at a moment, in the order of bytes of their names; those too
/// that were not there then. The versions of one object may come with several pages of the service.
struct VersionListing {
    private let store: S3Store
    private let moment: Timestamp
    private let prefix: ObjectKey
    private let after: ObjectKey?
    private let pageSize: Int
    /// Where the next page begins; nil when there is none.
    private var marker: Marker?
    /// Whole objects, the next one last.
    private var ready: [PastObject] = []
    /// The last object, which may go on with the next page.
    private var open: PastObject?

    private struct Marker: Equatable {
        var key: String?
        var versionID: String?
    }

    /// - Parameters:
    ///   - after: Names at or before this one are left out.
    ///   - pageSize: Most versions that a request asks for: 1 ... 1000.
    init(_ store: S3Store, at moment: Timestamp, prefix: ObjectKey, after: ObjectKey?, pageSize: Int) {
        self.store = store
        self.moment = moment
        self.pageSize = pageSize
        self.prefix = prefix
        self.after = after
        guard let after, prefix < after else {
            // Not every service takes a marker that lies before the prefix.
            marker = Marker()
            return
        }
        // Behind the prefix there is nothing to list.
        marker = after.hasPrefix(prefix) ? Marker(key: after.rawValue) : nil
    }

    /// The next object; nil at the end.
    /// - Throws: `.unsupported` for an answer that is no such listing; as `list` else.
    mutating func next() async throws(ObjectStoreError) -> PastObject? {
        while true {
            if let object = ready.popLast() { return object }
            guard let marker else {
                defer { open = nil }
                return open
            }
            try await readPage(from: marker)
        }
    }

    private mutating func readPage(from marker: Marker) async throws(ObjectStoreError) {
        var query = [
            QueryItem("versions"), QueryItem("encoding-type", "url"), QueryItem("max-keys", "\(pageSize)"),
        ]
        if !prefix.rawValue.isEmpty { query.append(QueryItem("prefix", prefix.rawValue)) }
        if let key = marker.key { query.append(QueryItem("key-marker", key)) }
        if let id = marker.versionID { query.append(QueryItem("version-id-marker", id)) }
        let answer = try await store.send(
            S3Request(method: .get, query: query, hasXMLAnswer: true, bodySizeMax: 16 << 20), .read)
        guard let root = answer.document, root.name == "ListVersionsResult" else {
            throw failure("the answer of the service is no listing of versions")
        }
        let hasEncodedNames = root["EncodingType"]?.text == "url"
        let versions = try versions(root, hasEncodedNames)
        self.marker = try next(root, hasEncodedNames, behind: marker, lastKey: versions.last?.key)
        var complete: [PastObject] = []
        for version in versions {
            // Some services begin with the marker itself.
            if let after, !(after < version.key) { continue }
            guard var object = open else {
                open = PastObject(version, at: moment)
                continue
            }
            if object.key.isSame(as: version.key) {
                object.take(version)
                open = object
            } else if object.key < version.key {
                complete.append(object)
                open = PastObject(version, at: moment)
            } else {
                throw outOfOrder(version.key, object.key)
            }
        }
        ready = complete.reversed()
    }

    /// The entries of a page, those of each object together.
    private func versions(
        _ root: XMLElement, _ hasEncodedNames: Bool
    ) throws(ObjectStoreError) -> [ListedVersion] {
        var versions: [ListedVersion] = []
        var last: [String: ObjectKey] = [:]
        for element in root.children where element.name == "Version" || element.name == "DeleteMarker" {
            guard let version = ListedVersion(element, hasEncodedNames: hasEncodedNames) else {
                throw failure("an entry lacks its name, version, time, size or ETag")
            }
            guard version.key.hasPrefix(prefix) else { throw failure("the service gives \"\(version.key)\" too") }
            if let last = last[element.name], version.key < last { throw outOfOrder(version.key, last) }
            last[element.name] = version.key
            versions.append(version)
        }
        // Usually they are in order. A service that lists delete markers apart has two orders, one behind the other.
        return versions.enumerated()
            .sorted { $0.element.key < $1.element.key || !($1.element.key < $0.element.key) && $0.offset < $1.offset }
            .map(\.element)
    }

    /// Where the service says that its next page begins.
    private func next(
        _ root: XMLElement, _ hasEncodedNames: Bool, behind marker: Marker, lastKey: ObjectKey?
    ) throws(ObjectStoreError) -> Marker? {
        guard root["IsTruncated"]?.text == "true" else { return nil }
        guard let text = root["NextKeyMarker"]?.text, !text.isEmpty else {
            throw failure("more versions follow, but the service does not say where")
        }
        var key = text
        // Some versions of Ceph encode all names but this one.
        if hasEncodedNames, lastKey.map({ !$0.isSame(as: ObjectKey(text)) }) ?? true {
            guard let decoded = PercentEncoding.decode(text) else { throw failure("the marker \"\(text)\" is none") }
            key = decoded
        }
        let next = Marker(key: key, versionID: (root["NextVersionIdMarker"]?.text).flatMap { $0.isEmpty ? nil : $0 })
        guard next != marker else { throw failure("the next page is the same again") }
        return next
    }

    private func outOfOrder(_ name: ObjectKey, _ last: ObjectKey) -> ObjectStoreError {
        failure("the service gives \"\(name)\" after \"\(last)\", which is not the order of bytes")
    }

    private func failure(_ reason: String) -> ObjectStoreError {
        ObjectStoreError(.unsupported, "list versions of \(prefix): \(reason)")
    }
}
