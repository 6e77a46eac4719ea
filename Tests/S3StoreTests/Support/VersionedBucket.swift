import Foundation
import Synchronization
import T4Protocols
import Testing

@testable import S3Store

/// A bucket that keeps versions, behind a scripted server, at a time that the test sets: what the services agree on, and in
/// `style` what they do not.
final class VersionedBucket: Sendable {
    /// How services differ.
    struct Style: Sendable, CustomTestStringConvertible {
        var name: String
        /// Most versions of a page, whatever is asked for.
        var pageSize = 1000
        /// Times are given to this many milliseconds.
        var resolution = 1000
        /// All versions of a page first, then all its delete markers.
        var listsMarkersApart = false
        var encodesNames = true
        /// The next marker too.
        var encodesMarker = true
        /// A key marker alone means all versions of that key as well.
        var marksFrom = false
        /// A page begins with the version that the marker names.
        var repeatsMarked = false

        var testDescription: String { name }

        /// To the second, in pages of three.
        static let aws = Style(name: "AWS", pageSize: 3)

        static let all = [
            aws, Style(name: "whole pages"), Style(name: "MinIO", pageSize: 2, resolution: 1),
            Style(name: "Ceph", pageSize: 2, resolution: 1, encodesMarker: false, marksFrom: true),
            Style(name: "moto", pageSize: 3, resolution: 1, listsMarkersApart: true, encodesNames: false),
            Style(name: "overlapping pages", pageSize: 4, marksFrom: true, repeatsMarked: true),
        ]
    }

    private struct Entry {
        var key: String
        var id: String
        /// Nil for a delete marker.
        var body: [UInt8]?
        /// Milliseconds since 1970.
        var time: Int
    }

    private struct State {
        /// In the order in which they were written.
        var entries: [Entry] = []
        var now = exampleTime.seconds * 1000
        var count = 0
        var status = "Enabled"
    }

    private let style: Style
    private let state = Mutex(State())

    init(_ style: Style) { self.style = style }

    func serve() throws -> ScriptedServer { try ScriptedServer { self.answer($0) } }

    /// Milliseconds since 1970.
    var now: Int { state.withLock { $0.now } }

    func advance(milliseconds: Int) { state.withLock { $0.now += milliseconds } }

    /// `Enabled`, `Suspended` or empty for neither.
    func setVersioning(_ status: String) { state.withLock { $0.status = status } }

    // MARK: - Requests

    private func answer(_ request: ReceivedRequest) -> Reply {
        let parts = request.target.split(separator: "?", maxSplits: 1).map(String.init)
        let key = parts[0].dropFirst("/bucket/".count).removingPercentEncoding ?? ""
        var query: [String: String] = [:]
        for item in (parts.count > 1 ? parts[1] : "").split(separator: "&") {
            let pair = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            query[String(pair[0])] = pair.count > 1 ? pair[1].removingPercentEncoding : ""
        }
        return state.withLock { state in
            switch request.method {
            case "PUT": return write(&state, key, request.body)
            case "DELETE":
                _ = write(&state, key, nil)
                return .answer(204)
            case "POST":
                for object in XMLElement(parsing: request.body)?.all("Object") ?? [] {
                    _ = write(&state, object["Key"]?.text ?? "", nil)
                }
                return .answer(200, body: "<DeleteResult/>")
            default:
                if query["versions"] != nil { return list(state, query) }
                if query["versioning"] != nil {
                    let status = state.status.isEmpty ? "" : "<Status>\(state.status)</Status>"
                    return .answer(200, body: "<VersioningConfiguration>\(status)</VersioningConfiguration>")
                }
                return read(state, key, query["versionId"], request["Range"])
            }
        }
    }

    private func write(_ state: inout State, _ key: String, _ body: [UInt8]?) -> Reply {
        let isVersioned = state.status == "Enabled"
        if !isVersioned { state.entries.removeAll { isSame($0.key, key) && $0.id == "null" } }
        state.count += 1
        let id = isVersioned ? "v\(state.count)" : "null"
        if body != nil || !state.status.isEmpty {
            state.entries.append(Entry(key: key, id: id, body: body, time: state.now))
        }
        return .answer(200, headers: ["ETag": tag(body ?? [])])
    }

    private func read(_ state: State, _ key: String, _ id: String?, _ range: String?) -> Reply {
        guard let found = state.entries.last(where: { isSame($0.key, key) && (id == nil || $0.id == id) }),
            let body = found.body
        else { return .error(404, id == nil ? "NoSuchKey" : "NoSuchVersion") }
        guard let range = range?.dropFirst("bytes=".count).split(separator: "-").compactMap({ Int($0) }) else {
            return .object(200, headers: ["ETag": tag(body)], body)
        }
        guard range[0] < body.count else { return .error(416, "InvalidRange") }
        let part = body[range[0]...min(range[1], body.count - 1)]
        return .object(
            206,
            headers: [
                "ETag": tag(body), "Content-Range": "bytes \(part.startIndex)-\(part.endIndex - 1)/\(body.count)",
            ], Array(part))
    }

    private func list(_ state: State, _ query: [String: String]) -> Reply {
        let prefix = query["prefix"] ?? ""
        // Of each key the newest first.
        let all = state.entries.reversed().enumerated()
            .filter { $0.element.key.utf8.starts(with: prefix.utf8) }
            .sorted { left, right in
                isSame(left.element.key, right.element.key)
                    ? left.offset < right.offset : ObjectKey(left.element.key) < ObjectKey(right.element.key)
            }
            .map(\.element)
        var rest = all[...]
        if let key = query["key-marker"] {
            if let id = query["version-id-marker"] {
                guard let place = all.firstIndex(where: { isSame($0.key, key) && $0.id == id }) else {
                    return .error(400, "InvalidArgument")
                }
                rest = all[(style.repeatsMarked ? place : place + 1)...]
            } else {
                rest = all[...].drop { entry in
                    ObjectKey(entry.key) < ObjectKey(key) || !style.marksFrom && isSame(entry.key, key)
                }
            }
        }
        let page = rest.prefix(min(style.pageSize, Int(query["max-keys"] ?? "") ?? 1000))
        var elements = page.map { entry in
            let isLatest = all.first { isSame($0.key, entry.key) }!.id == entry.id
            return element(entry, isLatest)
        }
        if style.listsMarkersApart {
            elements = elements.filter { $0.hasPrefix("<Version>") } + elements.filter { !$0.hasPrefix("<Version>") }
        }
        var head = style.encodesNames ? "<EncodingType>url</EncodingType>" : ""
        head += "<IsTruncated>\(page.endIndex < rest.endIndex)</IsTruncated>"
        if page.endIndex < rest.endIndex, let last = page.last {
            head += "<NextKeyMarker>\(name(last.key, style.encodesMarker))</NextKeyMarker>"
            head += "<NextVersionIdMarker>\(last.id)</NextVersionIdMarker>"
        }
        return .answer(200, body: "<ListVersionsResult>\(head)\(elements.joined())</ListVersionsResult>")
    }

    private func element(_ entry: Entry, _ isLatest: Bool) -> String {
        var text =
            "<Key>\(name(entry.key, true))</Key><VersionId>\(entry.id)</VersionId><IsLatest>\(isLatest)</IsLatest>"
        let time = entry.time / style.resolution * style.resolution
        text += "<LastModified>\(Timestamp(nanoseconds: UInt64(time) * 1_000_000))</LastModified>"
        guard let body = entry.body else { return "<DeleteMarker>\(text)</DeleteMarker>" }
        text += "<ETag>\(xmlEscaped(tag(body)))</ETag><Size>\(body.count)</Size>"
        return "<Version>\(text)</Version>"
    }

    private func name(_ key: String, _ isEncoded: Bool) -> String {
        style.encodesNames && isEncoded ? PercentEncoding.encode(key, keepingSlashes: true) : xmlEscaped(key)
    }

    private func tag(_ body: [UInt8]) -> String { "\"\(hex(Digests.md5(body)))\"" }

    private func isSame(_ left: String, _ right: String) -> Bool { left.utf8.elementsEqual(right.utf8) }
}
