import EtcdAPI
import Foundation
import SwiftProtobuf
import T4Core

@testable import T4Server

/// Answers with random content.
extension SeededGenerator {
    mutating func revision() -> Revision { Revision(number()) }

    mutating func origin() -> ResponseOrigin {
        ResponseOrigin(
            clusterID: UInt64(bitPattern: number()), memberID: UInt64(bitPattern: number()),
            raftTerm: UInt64(bitPattern: number()))
    }

    mutating func keyValue() -> KeyValue {
        KeyValue(
            key: bytes(), createRevision: revision(), modRevision: revision(), version: number(), lease: number(),
            value: bytes())
    }

    mutating func keyValues() -> [KeyValue] {
        (0..<Int.random(in: 0..<4, using: &self)).map { _ in keyValue() }
    }

    mutating func rangeResponse() -> RangeResponse {
        RangeResponse(revision: revision(), kvs: keyValues(), more: chance(50), count: number())
    }

    mutating func putResponse() -> PutResponse {
        PutResponse(revision: revision(), previous: chance(50) ? keyValue() : nil)
    }

    mutating func deleteRangeResponse() -> DeleteRangeResponse {
        DeleteRangeResponse(revision: revision(), deleted: number(), previous: keyValues())
    }

    mutating func txnResponse(depth: Int = 3) -> TxnResponse {
        let responses = (0..<Int.random(in: 0..<4, using: &self)).map { _ -> ResponseOperation in
            switch Int.random(in: 0..<(depth > 0 ? 4 : 3), using: &self) {
            case 0: .range(rangeResponse())
            case 1: .put(putResponse())
            case 2: .deleteRange(deleteRangeResponse())
            default: .txn(txnResponse(depth: depth - 1))
            }
        }
        return TxnResponse(revision: revision(), succeeded: chance(50), responses: responses)
    }

    mutating func event() -> Event {
        Event(kind: chance(50) ? .put : .delete, current: keyValue(), previous: chance(50) ? keyValue() : nil)
    }

    mutating func watchResponse() -> WatchResponse {
        var response = WatchResponse(revision: revision(), watchID: number())
        response.created = chance(30)
        response.canceled = chance(30)
        response.compactRevision = number()
        response.cancelReason = chance(30) ? "mvcc: required revision has been compacted – 圧縮" : ""
        response.fragment = chance(30)
        return response
    }
}

// The generated messages that stand for them.

/// Where an answer stands decides about its header.
enum HeaderKind {
    case full(ResponseOrigin)
    case revisionOnly
    case empty

    func message(_ revision: Revision) -> EtcdResponseHeader {
        .with {
            if case .full(let origin) = self {
                $0.clusterID = origin.clusterID
                $0.memberID = origin.memberID
                $0.raftTerm = origin.raftTerm
            }
            if case .empty = self { return }
            $0.revision = revision.rawValue
        }
    }
}

func message(_ kv: KeyValue) -> EtcdKeyValue {
    .with {
        $0.key = Data(kv.key)
        $0.createRevision = kv.createRevision.rawValue
        $0.modRevision = kv.modRevision.rawValue
        $0.version = kv.version
        $0.value = Data(kv.value)
        $0.lease = kv.lease
    }
}

func message(_ response: RangeResponse, _ header: HeaderKind) -> EtcdRangeResponse {
    .with {
        $0.header = header.message(response.revision)
        $0.kvs = response.kvs.map(message)
        $0.more = response.more
        $0.count = response.count
    }
}

func message(_ response: PutResponse, _ header: HeaderKind) -> EtcdPutResponse {
    .with {
        $0.header = header.message(response.revision)
        if let previous = response.previous { $0.prevKv = message(previous) }
    }
}

func message(_ response: DeleteRangeResponse, _ header: HeaderKind) -> EtcdDeleteRangeResponse {
    .with {
        $0.header = header.message(response.revision)
        $0.deleted = response.deleted
        $0.prevKvs = response.previous.map(message)
    }
}

func message(_ response: TxnResponse, _ header: HeaderKind) -> EtcdTxnResponse {
    .with {
        $0.header = header.message(response.revision)
        $0.succeeded = response.succeeded
        $0.responses = response.responses.map { operation in
            .with {
                switch operation {
                case .range(let range): $0.responseRange = message(range, .revisionOnly)
                case .put(let put): $0.responsePut = message(put, .revisionOnly)
                case .deleteRange(let delete): $0.responseDeleteRange = message(delete, .revisionOnly)
                case .txn(let txn): $0.responseTxn = message(txn, .empty)
                }
            }
        }
    }
}

func message(_ event: Event, includePrevious: Bool) -> EtcdEvent {
    .with {
        $0.type = event.kind == .put ? .put : .delete
        $0.kv = message(event.current)
        if includePrevious, let previous = event.previous { $0.prevKv = message(previous) }
    }
}

func message(_ response: WatchResponse, _ origin: ResponseOrigin, events: [EtcdEvent]) -> EtcdWatchResponse {
    .with {
        $0.header = HeaderKind.full(origin).message(response.revision)
        $0.watchID = response.watchID
        $0.created = response.created
        $0.canceled = response.canceled
        $0.compactRevision = response.compactRevision
        $0.cancelReason = response.cancelReason
        $0.fragment = response.fragment
        $0.events = events
    }
}
