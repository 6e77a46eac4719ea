import RPC
import T4Core

/// `etcdserverpb.Watch`: one stream carries any number of watches.
struct WatchService: Sendable {
    let context: ServiceContext

    func register(in router: inout RPCRouter) {
        router.stream("/etcdserverpb.Watch/Watch") { [context] call in WatchCall(call, context) }
    }
}

/// One watch stream: requests come in on the event loop, deliveries are drained there as far as the client reads.
private final class WatchCall: ServerStreamHandler {
    /// Bytes taken from the hub at a time.
    private static let drainBytes = 256 * 1024
    /// Answers that may wait before no more requests are read from the client.
    private static let backlogMax = 1024

    private let call: ServerCall
    private let context: ServiceContext
    private let stream: WatchStream?

    init(_ call: ServerCall, _ context: ServiceContext) {
        self.call = call
        self.context = context
        stream = context.node.watches.openStream { call.wake() }
        if stream == nil { call.finish(EtcdErrors.stopped) }
    }

    func onMessage(_ message: RawSpan) {
        guard let stream else { return }
        do {
            switch try WatchStreamRequest(protobuf: message) {
            case .create(let creation): create(creation, stream)
            case .cancel(let id): stream.cancel(id)
            case .progress: stream.requestProgress()
            case .empty: break
            }
        } catch {
            stream.close()
            call.finish(RPCStatus(describing: error))
        }
        if stream.backlog.messages > WatchCall.backlogMax { call.pauseReading() }
    }

    /// Whoever may read all of the range when the watch begins hears of it for good, as in etcd.
    private func create(_ creation: WatchCreation, _ stream: WatchStream) {
        do {
            if creation.startRevision >= 0 {
                // An empty key is the smallest one.
                let key = creation.key.isEmpty ? [0] : creation.key
                try context.authorization(of: call).requireRead(key, to: creation.rangeEnd)
            }
            _ = stream.create(WatchSpec(creation))
        } catch {
            stream.refuse(.refused(EtcdErrors.status(error).textOfGo))
        }
    }

    /// As in etcd, a client that will not ask for more still gets the events of what it has asked for.
    func onHalfClose() {}

    func onCancel(_ reason: CancelReason) { stream?.close() }

    func onWritable() { pump() }

    func onWake() { pump() }

    private func pump() {
        guard let stream else { return }
        while call.isWritable {
            let deliveries = stream.drain(maxBytes: WatchCall.drainBytes)
            if deliveries.isEmpty { return call.resumeReading() }
            for delivery in deliveries { send(delivery) }
        }
    }

    private func send(_ delivery: WatchDelivery) {
        switch delivery {
        case .created(let id, let revision):
            var response = WatchResponse(revision: revision, watchID: id)
            response.created = true
            send(response)
        case .refused(let end, let revision):
            var response = WatchResponse(revision: revision, watchID: -1)
            response.created = true
            response.canceled = true
            response.cancelReason = end.reason
            send(response)
        case .canceled(let id, let end, let revision):
            var response = WatchResponse(revision: revision, watchID: id)
            response.canceled = true
            response.cancelReason = end.reason
            if case .compacted(let compacted) = end { response.compactRevision = compacted.rawValue }
            send(response)
        case .progress(let id, let revision):
            send(WatchResponse(revision: revision, watchID: id))
        case .events(let events):
            send(events)
        }
    }

    private func send(_ response: WatchResponse) {
        var bytes: [UInt8] = []
        response.append(to: &bytes, from: context.origin)
        call.send(bytes)
    }

    private func send(_ events: WatchEvents) {
        var response = WatchResponse(revision: events.revision, watchID: events.watchID)
        if events.fragment, events.shared.byteCount >= context.settings.requestSizeMax {
            let encoded = EncodedEvents(events.shared.events, includePrevious: events.previous)
            let ranges = response.fragments(of: encoded, from: context.origin, limit: context.settings.requestSizeMax)
            for (index, range) in ranges.enumerated() {
                response.fragment = index < ranges.count - 1
                var bytes: [UInt8] = []
                response.append(to: &bytes, from: context.origin, events: encoded, range)
                call.send(bytes)
            }
            return
        }
        let encoded = events.shared.encoded(withPrevious: events.previous) { events, withPrevious in
            EncodedEvents(events, includePrevious: withPrevious).encoded
        }
        var bytes: [UInt8] = []
        response.append(to: &bytes, from: context.origin, encoded: encoded)
        call.send(bytes)
    }
}

extension RPCStatus {
    /// The status as a Go program prints it, which etcd gives as the reason.
    fileprivate var textOfGo: String {
        "rpc error: code = \(code.nameOfGo) desc = \(message)"
    }
}

extension RPCStatus.Code {
    /// As Go prints it.
    var nameOfGo: String {
        switch self {
        case .ok: "OK"
        case .cancelled: "Canceled"
        default:
            // The others differ by their first letter only.
            { $0.prefix(1).uppercased() + $0.dropFirst() }("\(self)")
        }
    }
}

extension WatchSpec {
    /// What a client asked for.
    fileprivate init(_ creation: WatchCreation) {
        self.init(
            key: creation.key, rangeEnd: creation.rangeEnd, startRevision: creation.startRevision,
            noPut: creation.skipsPuts, noDelete: creation.skipsDeletes, previous: creation.previous,
            progressNotify: creation.progressNotify, fragment: creation.fragment, id: creation.watchID)
    }
}

extension WatchEnd {
    /// etcd's text.
    fileprivate var reason: String {
        switch self {
        case .requested, .compacted: ""
        case .negativeStart: EtcdErrors.status(DatabaseError(.compacted)).message
        case .emptyRange: "mvcc: watcher range is empty"
        case .duplicateID: "mvcc: duplicate watch ID provided on the WatchStream"
        case .refused(let text): text
        case .failed(let error): error.message
        case .stopped: "etcdserver: server stopped"
        }
    }
}
