package import EtcdAPI
import Foundation
package import T4Core
package import T4Server

// What T4Core's values must be, said once more through the generated code.

/// A request that etcd refuses for its sort numbers.
package struct InvalidSort: Error {}

package func expected(_ message: EtcdRangeRequest) throws -> RangeRequest {
    let order = RangeRequest.SortOrder(rawValue: Int32(message.sortOrder.rawValue))
    let target = RangeRequest.SortTarget(rawValue: Int32(message.sortTarget.rawValue))
    let exists = order != nil && target != nil
    guard exists || message.key.isEmpty else { throw InvalidSort() }
    return RangeRequest(
        key: [UInt8](message.key), rangeEnd: [UInt8](message.rangeEnd), limit: message.limit,
        revision: message.revision, sortOrder: exists ? order ?? .none : .none,
        sortTarget: exists ? target ?? .key : .key, serializable: message.serializable, keysOnly: message.keysOnly,
        countOnly: message.countOnly, minModRevision: message.minModRevision, maxModRevision: message.maxModRevision,
        minCreateRevision: message.minCreateRevision, maxCreateRevision: message.maxCreateRevision)
}

package func expected(_ message: EtcdPutRequest) -> PutRequest {
    PutRequest(
        key: [UInt8](message.key), value: [UInt8](message.value), lease: message.lease, previous: message.prevKv,
        ignoreValue: message.ignoreValue, ignoreLease: message.ignoreLease)
}

package func expected(_ message: EtcdDeleteRangeRequest) -> DeleteRangeRequest {
    DeleteRangeRequest(
        key: [UInt8](message.key), rangeEnd: [UInt8](message.rangeEnd), previous: message.prevKv)
}

package func expected(_ message: EtcdCompactionRequest) -> CompactionRequest {
    CompactionRequest(revision: message.revision, physical: message.physical)
}

package func expected(_ message: EtcdRequestOp) throws -> RequestOperation {
    switch message.request {
    case .requestRange(let range): .range(try expected(range))
    case .requestPut(let put): .put(expected(put))
    case .requestDeleteRange(let delete): .deleteRange(expected(delete))
    case .requestTxn(let txn): .txn(try expected(txn))
    case nil: .empty
    }
}

package func expected(_ message: EtcdTxnRequest) throws -> TxnRequest {
    TxnRequest(
        compares: message.compare.map(expected), success: try message.success.map(expected),
        failure: try message.failure.map(expected))
}

/// Comparisons that have a direct counterpart; the others as `Compare(protobuf:)` writes them, which
/// `CompareMeaningTests` checks by evaluating them.
package func expected(_ message: EtcdCompare) -> Compare {
    let always: (Compare.Result, Compare.Target) = (.greater, .version(-1))
    let result = Compare.Result(rawValue: Int32(message.result.rawValue))
    let target: Compare.Target? =
        switch message.target {
        case .version: .version(message.version)
        case .create: .create(message.createRevision)
        case .mod: .mod(message.modRevision)
        case .value: .value([UInt8](message.value))
        case .lease: .lease(message.lease)
        case .UNRECOGNIZED: nil
        }
    let meaning: (Compare.Result, Compare.Target) =
        switch (result, target) {
        case (let result?, let target?): (result, target)
        case (nil, .value): (.greater, .version(0))
        case (nil, _), (.equal, nil): always
        default: (.less, .version(0))
        }
    return Compare(
        key: [UInt8](message.key), rangeEnd: [UInt8](message.rangeEnd), result: meaning.0, target: meaning.1)
}

package func expected(_ message: EtcdWatchRequest) -> WatchStreamRequest {
    switch message.requestUnion {
    case .createRequest(let create):
        var creation = WatchCreation()
        creation.key = [UInt8](create.key)
        creation.rangeEnd = [UInt8](create.rangeEnd)
        creation.startRevision = create.startRevision
        creation.progressNotify = create.progressNotify
        creation.skipsPuts = create.filters.contains(.noput)
        creation.skipsDeletes = create.filters.contains(.nodelete)
        creation.previous = create.prevKv
        creation.watchID = create.watchID
        creation.fragment = create.fragment
        return .create(creation)
    case .cancelRequest(let cancel): return .cancel(cancel.watchID)
    case .progressRequest: return .progress
    case nil: return .empty
    }
}
