package import T4Core

/// Writes `etcdserverpb.RangeResponse` while the keys are being read: each key goes from the engine's memory into the
/// answer without a value in between.
package struct RangeResponseWriter: Sendable {
    private var bytes: [UInt8] = []

    /// Begins an answer.
    /// - Parameter revision: The store's revision, from the same snapshot as the keys.
    package init(from origin: ResponseOrigin, revision: Revision) {
        origin.appendHeaderOnly(revision: revision, to: &bytes)
    }

    /// Begins a part of an answer, which only in the last part has more than keys.
    init() {}

    /// Number of bytes so far.
    package var byteCount: Int { bytes.count }

    /// Adds a key.
    /// - Parameter value: Empty for requests of keys only.
    package mutating func append(
        key: RawSpan, createRevision: Int64, modRevision: Int64, version: Int64, lease: Int64, value: RawSpan
    ) {
        let numbers = KeyValueCoding.Numbers(
            createRevision: createRevision, modRevision: modRevision, version: version, lease: lease)
        let size = KeyValueCoding.size(keyCount: key.byteCount, numbers, valueCount: value.byteCount)
        bytes.appendMessage(size: ProtoSize.message(size)) { output in
            KeyValueCoding.put(key: key, numbers, value: value, size: size, field: 2, to: &output)
        }
    }

    /// Adds a key.
    package mutating func append(_ kv: KeyValue) {
        bytes.appendMessage(size: ProtoSize.message(kv.protobufSize)) { kv.put(field: 2, to: &$0) }
    }

    /// Ends the answer and hands it out.
    package consuming func finish(more: Bool, count: Int64) -> [UInt8] {
        bytes.appendMessage(size: ProtoSize.field(more) + ProtoSize.field(count)) { output in
            output.put(more, field: 3)
            output.put(count, field: 4)
        }
        return bytes
    }
}

extension RangeResponseWriter {
    /// Ends a part and hands it out as `etcdserverpb.RangeStreamResponse`.
    /// - Parameter last: What the last part has beside its keys.
    consuming func finishPart(last: (header: ResponseHeader, summary: RangeSummary)? = nil) -> [UInt8] {
        let keys = bytes
        var size = keys.count
        if let last {
            size +=
                last.header.fieldSize + ProtoSize.field(last.summary.more) + ProtoSize.field(last.summary.count)
        }
        var message: [UInt8] = []
        message.appendMessage(size: ProtoSize.message(size)) { output in
            output.putMessage(size: size, field: 1)
            last?.header.put(to: &output)
            output.putRaw(keys.span.bytes)
            output.put(last?.summary.more ?? false, field: 3)
            output.put(last?.summary.count ?? 0, field: 4)
        }
        return message
    }
}

extension ResponseOrigin {
    /// Appends an answer that has nothing but a header: of a compaction, a lease revocation.
    package func appendHeaderOnly(revision: Revision, to bytes: inout [UInt8]) {
        let header = ResponseHeader(origin: self, revision: revision)
        bytes.appendMessage(size: header.fieldSize) { header.put(to: &$0) }
    }
}
