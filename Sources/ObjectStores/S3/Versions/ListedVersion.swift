import T4Protocols

/// A version of an object as the service lists it, or a delete marker, which stands for a time without the object.
struct ListedVersion: Sendable {
    struct Content: Sendable {
        var size: UInt64
        var tag: String
    }

    let key: ObjectKey
    /// What a get names; `null` where the bucket kept no versions when it was written.
    let id: String
    let time: Timestamp
    /// The one that a get without a version reads.
    let isLatest: Bool
    /// Nil for a delete marker.
    let content: Content?

    /// Written while the bucket kept no versions: whatever had this id before is gone.
    var isNull: Bool { id == "null" }

    /// - Parameter hasEncodedNames: The listing has names in percent-encoding.
    /// - Returns: Nil when something is missing or is not what it should be.
    init?(_ element: XMLElement, hasEncodedNames: Bool) {
        guard let text = element["Key"]?.text, let name = hasEncodedNames ? PercentEncoding.decode(text) : text,
            let id = element["VersionId"]?.text, !id.isEmpty,
            let time = (element["LastModified"]?.text).flatMap({ Timestamp($0) })
        else { return nil }
        key = ObjectKey(name)
        self.id = id
        self.time = time
        isLatest = element["IsLatest"]?.text == "true"
        if element.name == "DeleteMarker" {
            content = nil
        } else {
            guard let size = (element["Size"]?.text).flatMap({ UInt64($0) }), let tag = element["ETag"]?.text else {
                return nil
            }
            content = Content(size: size, tag: tag)
        }
    }
}

/// One object at a moment, seen through all its versions and delete markers.
///
/// The version with the latest time up to the moment counts. Of several with the same time it is the one that the service
/// names the latest, else the one that it lists first, since it lists the newest first.
struct PastObject: Sendable {
    let key: ObjectKey
    private let moment: Timestamp
    private var newest: ListedVersion?
    /// One that was written later under the id `null`: it has taken the place of any that had it at the moment.
    private var eraser: ListedVersion?

    init(_ first: ListedVersion, at moment: Timestamp) {
        key = first.key
        self.moment = moment
        take(first)
    }

    /// Takes one more version in the service's order; again the one that it ended a page with, if it says that twice.
    mutating func take(_ version: ListedVersion) {
        if version.time > moment {
            if version.isNull { eraser = version }
        } else if let found = newest, found.time > version.time || found.time == version.time && !version.isLatest {
            return
        } else {
            newest = version
        }
    }

    /// What a get would have read; nil where there was no object.
    /// - Throws: `.unsupported` where the service does not know that any more.
    func version() throws(ObjectStoreError) -> ListedVersion? {
        if let eraser {
            throw ObjectStoreError(
                .unsupported,
                "\(key) as of \(moment): it was \(eraser.content == nil ? "deleted" : "written") at \(eraser.time), when "
                    + "the bucket kept no versions, so that nobody knows what was there before; as_of can only be a time "
                    + "since which the bucket has kept versions without a break")
        }
        return newest?.content == nil ? nil : newest
    }
}

extension ObjectKey {
    /// Equality of bytes. As texts some names are equal that are two objects.
    func isSame(as other: ObjectKey) -> Bool { rawValue.utf8.elementsEqual(other.rawValue.utf8) }

    /// By bytes, as for `isSame`.
    func hasPrefix(_ prefix: ObjectKey) -> Bool { rawValue.utf8.starts(with: prefix.rawValue.utf8) }
}
