package import T4Core

extension TxnRequest {
    /// Deepest nesting of transactions. Every level takes one of the operations a request may have, so deeper nesting
    /// is refused as too many operations; this bound only keeps a hostile message from using up the stack.
    package static var nestingMax: Int { 128 }

    /// Decodes `etcdserverpb.TxnRequest`.
    /// - Throws: `.malformed`; `.refused(.invalidSortOption)` if any range in it has a sort order or target that does
    ///   not exist; `.refused(.tooManyOperations)` for nesting deeper than `nestingMax`.
    package init(protobuf bytes: RawSpan) throws(WireFailure) {
        self.init(compares: [], success: [])
        var refusal: WireFailure?
        try merge(bytes, depth: 1, &refusal)
        if let refusal { throw refusal }
    }

    /// - Parameter refusal: The first reason to refuse the request, which counts only if all of it can be read.
    fileprivate mutating func merge(
        _ bytes: RawSpan, depth: Int, _ refusal: inout WireFailure?
    ) throws(WireFailure) {
        guard depth <= Self.nestingMax else { throw .refused(.tooManyOperations) }
        var bytes = bytes
        while let tag = try bytes.nextTag() {
            switch tag {
            case 0x0A:
                try bytes.nextMessage { (message) throws(WireFailure) in
                    compares.append(try Compare(protobuf: message))
                }
            case 0x12:
                try bytes.nextMessage { (message) throws(WireFailure) in
                    success.append(try RequestOperation(protobuf: message, depth: depth, &refusal))
                }
            case 0x1A:
                try bytes.nextMessage { (message) throws(WireFailure) in
                    failure.append(try RequestOperation(protobuf: message, depth: depth, &refusal))
                }
            default: try bytes.skipField(tag)
            }
        }
    }
}

extension RequestOperation {
    /// An operation being read: another kind replaces it, the same kind is merged into it (after it has been taken out
    /// of here, so that merging many times does not copy what is there).
    private enum Fields {
        case empty
        case range(RangeRequestFields)
        case put(PutRequest)
        case deleteRange(DeleteRangeRequest)
        /// With the reason to refuse it, which goes with it when another kind replaces it.
        case txn(TxnRequest, WireFailure?)
    }

    fileprivate init(protobuf bytes: RawSpan, depth: Int, _ refusal: inout WireFailure?) throws(WireFailure) {
        var fields = Fields.empty
        var bytes = bytes
        while let tag = try bytes.nextTag() {
            switch tag {
            case 0x0A:
                var range = if case .range(let range) = fields { range } else { RangeRequestFields() }
                fields = .empty
                try bytes.nextMessage { (message) throws(WireFailure) in try range.merge(message) }
                fields = .range(range)
            case 0x12:
                var put = if case .put(let put) = fields { put } else { PutRequest(key: [], value: []) }
                fields = .empty
                try bytes.nextMessage { (message) throws(WireFailure) in try put.merge(message) }
                fields = .put(put)
            case 0x1A:
                var delete = if case .deleteRange(let delete) = fields { delete } else { DeleteRangeRequest(key: []) }
                fields = .empty
                try bytes.nextMessage { (message) throws(WireFailure) in try delete.merge(message) }
                fields = .deleteRange(delete)
            case 0x22:
                var (txn, inner): (TxnRequest, WireFailure?) =
                    if case .txn(let txn, let inner) = fields { (txn, inner) } else {
                        (TxnRequest(compares: [], success: []), nil)
                    }
                fields = .empty
                try bytes.nextMessage { (message) throws(WireFailure) in
                    try txn.merge(message, depth: depth + 1, &inner)
                }
                fields = .txn(txn, inner)
            default: try bytes.skipField(tag)
            }
        }
        switch fields {
        case .empty: self = .empty
        case .range(let range):
            if !range.isSortValid && refusal == nil { refusal = .refused(.invalidSortOption) }
            self = .range(range.request())
        case .put(let put): self = .put(put)
        case .deleteRange(let delete): self = .deleteRange(delete)
        case .txn(let txn, let inner):
            refusal = refusal ?? inner
            self = .txn(txn)
        }
    }
}

extension Compare {
    /// The field numbers of the union of given values.
    private enum Given {
        case nothing
        case version(Int64)
        case create(Int64)
        case mod(Int64)
        case value([UInt8])
        case lease(Int64)
    }

    fileprivate init(protobuf bytes: RawSpan) throws(WireFailure) {
        var key: [UInt8] = []
        var rangeEnd: [UInt8] = []
        var result: Int32 = 0
        var target: Int32 = 0
        var given = Given.nothing
        var bytes = bytes
        while let tag = try bytes.nextTag() {
            switch tag {
            case 0x08: result = try bytes.nextEnum()
            case 0x10: target = try bytes.nextEnum()
            case 0x1A: key = try bytes.nextBytes()
            case 0x20: given = .version(try bytes.nextInt64())
            case 0x28: given = .create(try bytes.nextInt64())
            case 0x30: given = .mod(try bytes.nextInt64())
            case 0x3A: given = .value(try bytes.nextBytes())
            case 0x40: given = .lease(try bytes.nextInt64())
            case 0x202: rangeEnd = try bytes.nextBytes()  // field 64
            default: try bytes.skipField(tag)
            }
        }
        let (meantResult, meantTarget) = Self.meaning(result: result, target: target, given: given)
        self.init(key: key, rangeEnd: rangeEnd, result: meantResult, target: meantTarget)
    }

    /// What etcd makes of the numbers. The target decides: a value given for another target counts as 0 or empty.
    /// A target that does not exist is equal to whatever is given; a result that does not exist always holds, but like
    /// every comparison of values not for an absent key.
    private static func meaning(result: Int32, target: Int32, given: Given) -> (Result, Target) {
        let always = (Result.greater, Target.version(-1))
        let never = (Result.less, Target.version(0))
        let exists = (Result.greater, Target.version(0))
        let comparison = Result(rawValue: result)
        let meant: Target
        switch (target, given) {
        case (0, .version(let number)): meant = .version(number)
        case (0, _): meant = .version(0)
        case (1, .create(let number)): meant = .create(number)
        case (1, _): meant = .create(0)
        case (2, .mod(let number)): meant = .mod(number)
        case (2, _): meant = .mod(0)
        case (3, .value(let value)): meant = .value(value)
        case (3, _): meant = .value([])
        case (4, .lease(let number)): meant = .lease(number)
        case (4, _): meant = .lease(0)
        default: return comparison == nil || comparison == .equal ? always : never
        }
        guard let comparison else { return target == 3 ? exists : always }
        return (comparison, meant)
    }
}
