import EtcdAPI
import Foundation
import RPC
import SwiftProtobuf

/// All objects under a prefix, as a list gave them once and a watch has changed them since.
///
/// It believes nothing: an event that does not follow from what the cache holds is a fault.
final class WatchCache: ClientStreamHandler, Sendable {
    struct Content: Sendable, CustomStringConvertible {
        var objects: [Data: EtcdKeyValue]
        /// The objects at each revision that changed one, the oldest first, and at that of the list.
        var states: [(revision: Int64, objects: [Data: EtcdKeyValue])]
        /// Every event up to it has come, as the server says.
        var revision: Int64
        /// Deletions by their revision.
        var deletions: [Int64: [Data]] = [:]
        var faults: [String] = []
        /// Progress that was told before an event of that revision or an earlier one.
        var earlyProgress: [Int64] = []
        var end: RPCStatus?

        var description: String {
            "\(objects.count) objects at revision \(revision), faults: \(faults), end: \(end.map { "\($0)" } ?? "open")"
        }

        /// The objects at a revision between the list and `revision`, in the order of their keys.
        func objects(at revision: Int64) -> [EtcdKeyValue]? {
            states.last { $0.revision <= revision }.map { WatchCache.inOrder($0.objects) }
        }
    }

    let content: Observed<Content>

    private init(_ objects: [EtcdKeyValue], at revision: Int64) {
        let objects = Dictionary(uniqueKeysWithValues: objects.map { ($0.key, $0) })
        content = Observed(Content(objects: objects, states: [(revision, objects)], revision: revision))
    }

    /// Lists, and watches from the revision behind that.
    /// - Returns: The cache, and the call with which more can be asked of the watch.
    static func open(
        _ prefix: String, _ storage: ObjectStorage, on rpc: RPCClient,
    ) async throws -> (cache: WatchCache, call: ClientCall) {
        let (objects, revision) = try await storage.list(prefix, pageSize: 10_000)
        let cache = WatchCache(objects, at: revision)
        // The API server's watches end where there is no leader.
        let call = rpc.stream(rpc.method(VerbCodec.of(.watch).path), metadata: [("hasleader", "true")]) { _ in cache }
        let request = EtcdWatchRequest.with { request in
            request.createRequest = .with {
                ($0.key, $0.rangeEnd) = ObjectStorage.range(prefix)
                ($0.startRevision, $0.prevKv, $0.progressNotify) = (revision + 1, true, true)
            }
        }
        call.send(try request.serializedBytes())
        return (cache, call)
    }

    static func inOrder(_ objects: [Data: EtcdKeyValue]) -> [EtcdKeyValue] {
        objects.values.sorted { $0.key.lexicographicallyPrecedes($1.key) }
    }

    /// Waits until the cache knows everything up to a revision: asks for progress, as other keys may have moved it on.
    func reach(_ revision: Int64, _ call: ClientCall) async throws {
        call.send(try EtcdWatchRequest.with { $0.progressRequest = EtcdWatchProgressRequest() }.serializedBytes())
        try await wait(for: "the cache to reach revision \(revision)") { $0.revision >= revision }
    }

    /// Waits for the change that a revision made.
    func untilChanged(at revision: Int64) async throws {
        try await wait(for: "the change of revision \(revision)") {
            $0.states.last.map { $0.revision >= revision } ?? false
        }
    }

    private func wait(for what: String, _ isThere: @Sendable (Content) -> Bool) async throws {
        let content = try await content.wait(for: what) { isThere($0) || $0.end != nil ? $0 : nil }
        if let end = content.end { throw end }
    }

    func onMessage(_ message: RawSpan) {
        let bytes = message.withUnsafeBytes { Array($0) }
        content.update { content in
            do {
                content.take(try EtcdWatchResponse(serializedBytes: bytes))
            } catch {
                content.faults.append("a response that cannot be read: \(error)")
            }
        }
    }

    func onEnd(_ status: RPCStatus) { content.update { $0.end = $0.end ?? status } }
    func onWritable() {}
}

extension WatchCache.Content {
    fileprivate mutating func take(_ response: EtcdWatchResponse) {
        if response.canceled { faults.append("cancelled: \(response)") }
        for event in response.events { take(event) }
        // The header of the answer to the creation is no promise: events of the past come behind it.
        guard !response.created else { return }
        revision = max(revision, response.events.last?.kv.modRevision ?? response.header.revision)
    }

    private mutating func take(_ event: EtcdEvent) {
        let (key, new) = (event.kv.key, event.kv)
        let last = states.last?.revision ?? 0
        if new.modRevision < last { faults.append("\(new.modRevision) behind \(last)") }
        if new.modRevision <= revision, new.modRevision != last { earlyProgress.append(new.modRevision) }
        let old = objects[key]
        if old != (event.hasPrevKv ? event.prevKv : nil) {
            faults.append("before \(event) the cache has \(old.map { "\($0)" } ?? "nothing")")
        }
        if event.type == .delete {
            if old == nil { faults.append("\(event) of what is not there") }
            objects[key] = nil
            deletions[new.modRevision, default: []].append(key)
        } else {
            if new.version != (old?.version ?? 0) + 1 || new.createRevision != old?.createRevision ?? new.modRevision {
                faults.append("\(event) does not follow \(old.map { "\($0)" } ?? "nothing")")
            }
            objects[key] = new
        }
        if last == new.modRevision { states.removeLast() }
        states.append((new.modRevision, objects))
    }
}
