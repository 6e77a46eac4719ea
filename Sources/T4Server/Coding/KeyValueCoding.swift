import T4Core

/// `mvccpb.KeyValue` written from its parts, so that an engine's bytes need no value in between.
enum KeyValueCoding {
    /// The numbers of a key.
    struct Numbers {
        var createRevision: Int64
        var modRevision: Int64
        var version: Int64
        var lease: Int64
    }

    /// Bytes of the message itself.
    @inline(__always)
    static func size(keyCount: Int, _ numbers: Numbers, valueCount: Int) -> Int {
        ProtoSize.bytes(keyCount) + ProtoSize.field(numbers.createRevision) + ProtoSize.field(numbers.modRevision)
            + ProtoSize.field(numbers.version) + ProtoSize.bytes(valueCount) + ProtoSize.field(numbers.lease)
    }

    /// Puts the message as an embedded one; `size` is the one above.
    @inline(__always)
    static func put(
        key: RawSpan, _ numbers: Numbers, value: RawSpan, size: Int, field: UInt8,
        to output: inout OutputSpan<UInt8>
    ) {
        output.putMessage(size: size, field: field)
        output.put(key, field: 1)
        output.put(numbers.createRevision, field: 2)
        output.put(numbers.modRevision, field: 3)
        output.put(numbers.version, field: 4)
        output.put(value, field: 5)
        output.put(numbers.lease, field: 6)
    }
}

extension KeyValue {
    private var numbers: KeyValueCoding.Numbers {
        .init(
            createRevision: createRevision.rawValue, modRevision: modRevision.rawValue, version: version, lease: lease)
    }

    /// Bytes of `mvccpb.KeyValue`.
    var protobufSize: Int { KeyValueCoding.size(keyCount: key.count, numbers, valueCount: value.count) }

    /// Puts it as an embedded message.
    func put(field: UInt8, to output: inout OutputSpan<UInt8>) {
        KeyValueCoding.put(
            key: key.span.bytes, numbers, value: value.span.bytes, size: protobufSize, field: field, to: &output)
    }
}
