package import T4Core

/// Events in their wire form, written once and sent to any number of watches.
package struct EncodedEvents: Sendable {
    /// The `events` fields of an `etcdserverpb.WatchResponse`, one behind the other.
    private var bytes: [UInt8] = []
    /// Where each event ends in `bytes`.
    private var ends: [Int] = []

    /// No events.
    package init() {}

    /// Writes events in their order.
    /// - Parameter includePrevious: Writes the version before each change where the event has it.
    package init(_ events: [Event], includePrevious: Bool) {
        for event in events { append(event, includePrevious: includePrevious) }
    }

    /// Number of events.
    package var count: Int { ends.count }

    /// The bytes of all of them.
    package var encoded: [UInt8] { bytes }

    /// Number of bytes of all of them.
    package var byteCount: Int { bytes.count }

    /// Adds an event.
    package mutating func append(_ event: Event, includePrevious: Bool) {
        let isDelete = event.kind == .delete
        let previous = includePrevious ? event.previous : nil
        let current = event.current
        let size =
            ProtoSize.field(isDelete) + ProtoSize.message(current.protobufSize)
            + (previous.map { ProtoSize.message($0.protobufSize) } ?? 0)
        bytes.appendMessage(size: ProtoSize.message(size)) { output in
            output.putMessage(size: size, field: 11)
            output.put(isDelete, field: 1)  // the number of DELETE is 1, that of PUT 0
            current.put(field: 2, to: &output)
            previous?.put(field: 3, to: &output)
        }
        ends.append(bytes.count)
    }

    /// Where some of the events lie in `bytes`.
    fileprivate func byteRange(_ events: Range<Int>) -> Range<Int> {
        start(of: events.lowerBound)..<start(of: events.upperBound)
    }

    fileprivate func start(of event: Int) -> Int { event == 0 ? 0 : ends[event - 1] }

    fileprivate func span(_ events: Range<Int>, _ body: (RawSpan) -> Void) {
        body(bytes.span.bytes.extracting(byteRange(events)))
    }
}

/// `etcdserverpb.WatchResponse` without its events.
package struct WatchResponse: Hashable, Sendable {
    /// The header's revision.
    package var revision: Revision
    /// The watch; -1 for none or all.
    package var watchID: Int64
    /// Answers a creation.
    package var created = false
    /// The watch has ended.
    package var canceled = false
    /// Where history begins, if the watch ended for that.
    package var compactRevision: Int64 = 0
    /// Why the watch ended.
    package var cancelReason = ""
    /// More events of the same revision follow.
    package var fragment = false

    /// A response that carries events or progress.
    package init(revision: Revision, watchID: Int64) {
        self.revision = revision
        self.watchID = watchID
    }

    /// Appends the message without events.
    package func append(to bytes: inout [UInt8], from origin: ResponseOrigin) {
        append(to: &bytes, from: origin, events: EncodedEvents())
    }

    /// Appends the message with all events.
    package func append(to bytes: inout [UInt8], from origin: ResponseOrigin, events: EncodedEvents) {
        append(to: &bytes, from: origin, events: events, 0..<events.count)
    }

    /// Appends the message with events that were encoded before.
    /// - Parameter encoded: `EncodedEvents.encoded`, kept somewhere meanwhile.
    package func append(to bytes: inout [UInt8], from origin: ResponseOrigin, encoded: [UInt8]) {
        let header = ResponseHeader(origin: origin, revision: revision)
        bytes.appendMessage(size: size(header) + encoded.count) { output in
            put(header, to: &output)
            output.putRaw(encoded.span.bytes)
        }
    }

    /// Appends the message with some of the events, such as a range from `fragments`.
    package func append(
        to bytes: inout [UInt8], from origin: ResponseOrigin, events: EncodedEvents, _ range: Range<Int>
    ) {
        let header = ResponseHeader(origin: origin, revision: revision)
        events.span(range) { span in
            bytes.appendMessage(size: size(header) + span.byteCount) { output in
                put(header, to: &output)
                output.putRaw(span)
            }
        }
    }

    /// Cuts events into answers as etcd does: each smaller than `limit` bytes, unless it is a single event.
    ///
    /// All but the last must be sent with `fragment` true.
    package func fragments(of events: EncodedEvents, from origin: ResponseOrigin, limit: Int) -> [Range<Int>] {
        let header = ResponseHeader(origin: origin, revision: revision)
        var part = self
        part.fragment = false
        if events.count < 2 || part.size(header) + events.byteCount < limit { return [0..<events.count] }
        part.fragment = true
        let room = limit - part.size(header)
        var fragments: [Range<Int>] = []
        var first = 0
        for event in 1..<events.count where events.start(of: event + 1) - events.start(of: first) >= room {
            fragments.append(first..<event)
            first = event
        }
        fragments.append(first..<events.count)
        return fragments
    }

    /// Bytes without the events.
    private func size(_ header: ResponseHeader) -> Int {
        header.fieldSize + ProtoSize.field(watchID) + ProtoSize.field(created) + ProtoSize.field(canceled)
            + ProtoSize.field(compactRevision) + ProtoSize.bytes(cancelReason.utf8.count) + ProtoSize.field(fragment)
    }

    private func put(_ header: ResponseHeader, to output: inout OutputSpan<UInt8>) {
        header.put(to: &output)
        output.put(watchID, field: 2)
        output.put(created, field: 3)
        output.put(canceled, field: 4)
        output.put(compactRevision, field: 5)
        if !cancelReason.isEmpty {
            output.putMessage(size: cancelReason.utf8.count, field: 6)
            for byte in cancelReason.utf8 { output.append(byte) }
        }
        output.put(fragment, field: 7)
    }
}
