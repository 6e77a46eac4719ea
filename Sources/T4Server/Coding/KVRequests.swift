package import T4Core

// Requests of the KV service as they come off the wire. As protobuf has it: fields may come in any order, of a repeated
// scalar the last one counts, and what is unknown is skipped.

extension RangeRequest {
    /// Decodes `etcdserverpb.RangeRequest`.
    /// - Throws: `.malformed`; `.refused(.invalidSortOption)` for sort orders and targets that do not exist, unless the
    ///   key is empty (which is refused first).
    package init(protobuf bytes: RawSpan) throws(WireFailure) {
        var fields = RangeRequestFields()
        try fields.merge(bytes)
        guard fields.isSortValid else { throw .refused(.invalidSortOption) }
        self = fields.request()
    }
}

extension PutRequest {
    /// Decodes `etcdserverpb.PutRequest`.
    /// - Throws: `.malformed`.
    package init(protobuf bytes: RawSpan) throws(WireFailure) {
        self.init(key: [], value: [])
        try merge(bytes)
    }

    mutating func merge(_ bytes: RawSpan) throws(WireFailure) {
        var bytes = bytes
        while let tag = try bytes.nextTag() {
            switch tag {
            case 0x0A: key = try bytes.nextBytes()
            case 0x12: value = try bytes.nextBytes()
            case 0x18: lease = try bytes.nextInt64()
            case 0x20: previous = try bytes.nextBool()
            case 0x28: ignoreValue = try bytes.nextBool()
            case 0x30: ignoreLease = try bytes.nextBool()
            default: try bytes.skipField(tag)
            }
        }
    }
}

extension DeleteRangeRequest {
    /// Decodes `etcdserverpb.DeleteRangeRequest`.
    /// - Throws: `.malformed`.
    package init(protobuf bytes: RawSpan) throws(WireFailure) {
        self.init(key: [])
        try merge(bytes)
    }

    mutating func merge(_ bytes: RawSpan) throws(WireFailure) {
        var bytes = bytes
        while let tag = try bytes.nextTag() {
            switch tag {
            case 0x0A: key = try bytes.nextBytes()
            case 0x12: rangeEnd = try bytes.nextBytes()
            case 0x18: previous = try bytes.nextBool()
            default: try bytes.skipField(tag)
            }
        }
    }
}

extension CompactionRequest {
    /// Decodes `etcdserverpb.CompactionRequest`.
    /// - Throws: `.malformed`.
    package init(protobuf bytes: RawSpan) throws(WireFailure) {
        self.init(revision: 0)
        var bytes = bytes
        while let tag = try bytes.nextTag() {
            switch tag {
            case 0x08: revision = try bytes.nextInt64()
            case 0x10: physical = try bytes.nextBool()
            default: try bytes.skipField(tag)
            }
        }
    }
}

/// A range request whose sort numbers have not been looked at yet: later fields may replace them.
struct RangeRequestFields {
    private var fields = RangeRequest(key: [])
    private var sortOrder: Int32 = 0
    private var sortTarget: Int32 = 0

    mutating func merge(_ bytes: RawSpan) throws(WireFailure) {
        var bytes = bytes
        while let tag = try bytes.nextTag() {
            switch tag {
            case 0x0A: fields.key = try bytes.nextBytes()
            case 0x12: fields.rangeEnd = try bytes.nextBytes()
            case 0x18: fields.limit = try bytes.nextInt64()
            case 0x20: fields.revision = try bytes.nextInt64()
            case 0x28: sortOrder = try bytes.nextEnum()
            case 0x30: sortTarget = try bytes.nextEnum()
            case 0x38: fields.serializable = try bytes.nextBool()
            case 0x40: fields.keysOnly = try bytes.nextBool()
            case 0x48: fields.countOnly = try bytes.nextBool()
            case 0x50: fields.minModRevision = try bytes.nextInt64()
            case 0x58: fields.maxModRevision = try bytes.nextInt64()
            case 0x60: fields.minCreateRevision = try bytes.nextInt64()
            case 0x68: fields.maxCreateRevision = try bytes.nextInt64()
            default: try bytes.skipField(tag)
            }
        }
    }

    /// False for sort numbers that do not exist, unless the key is empty, which is refused before them.
    var isSortValid: Bool {
        fields.key.isEmpty
            || (RangeRequest.SortOrder(rawValue: sortOrder) != nil
                && RangeRequest.SortTarget(rawValue: sortTarget) != nil)
    }

    /// The request; sort numbers that do not exist become the default.
    consuming func request() -> RangeRequest {
        if sortOrder != 0 || sortTarget != 0,
            let order = RangeRequest.SortOrder(rawValue: sortOrder),
            let target = RangeRequest.SortTarget(rawValue: sortTarget)
        {
            fields.sortOrder = order
            fields.sortTarget = target
        }
        return fields
    }
}
