import EtcdAPI
import Foundation
import SwiftProtobuf

/// Objects as the storage layer of Kubernetes keeps them: each write names the revision of the object that it is made
/// from, 0 for none, and learns what is there when somebody else was faster.
struct ObjectStorage: Sendable {
    let client: EtcdClient

    /// - Returns: False when the object is there already.
    func create(_ key: String, _ value: String, lease: Int64 = 0) async throws -> Bool {
        let request = EtcdTxnRequest.with { request in
            request.compare = [Self.isUnchanged(key, since: 0)]
            request.success = [.with { $0.requestPut = put(key, value, lease) }]
        }
        return try await client.call("KV/Txn", request, EtcdTxnResponse.self).succeeded
    }

    /// Changes an object, or creates it.
    ///
    /// - Parameter known: The object as the caller has seen it last, nil for none.
    /// - Returns: How many writes of others came first.
    func update(
        _ key: String, from known: EtcdKeyValue?, lease: Int64 = 0, _ change: (_ value: String?) -> String,
    ) async throws -> Int {
        try await untilUnchanged(key, known) { known in
            let value = change(known.map { String(decoding: $0.value, as: UTF8.self) })
            return .with { $0.requestPut = put(key, value, lease) }
        }
    }

    /// - Returns: As `update`.
    func delete(_ key: String, from known: EtcdKeyValue?) async throws -> Int {
        try await untilUnchanged(key, known) { _ in .with { $0.requestDeleteRange.key = Data(key.utf8) } }
    }

    func get(_ key: String) async throws -> EtcdKeyValue? {
        let request = EtcdRangeRequest.with { ($0.key, $0.limit) = (Data(key.utf8), 1) }
        return try await client.call("KV/Range", request, EtcdRangeResponse.self).kvs.first
    }

    /// Reads all objects under a prefix in pages of one revision, whatever is written meanwhile.
    ///
    /// - Parameter revision: 0: that of the first page.
    /// - Throws: `ProcessFailure` when a page does not fit the others.
    func list(
        _ prefix: String, pageSize: Int64, at revision: Int64 = 0,
    ) async throws -> (objects: [EtcdKeyValue], revision: Int64) {
        var objects: [EtcdKeyValue] = []
        var request = range(prefix)
        request.limit = pageSize
        request.revision = revision
        while true {
            let page = try await client.call("KV/Range", request, EtcdRangeResponse.self)
            objects += page.kvs
            if request.revision == 0 { request.revision = page.header.revision }
            guard page.kvs.count <= pageSize, page.count >= page.kvs.count,
                page.more == (page.count > page.kvs.count), page.kvs.allSatisfy({ $0.modRevision <= request.revision })
            else { throw ProcessFailure("a page of \(prefix) at \(request.revision): \(page)") }
            guard page.more, let last = page.kvs.last else { return (objects, request.revision) }
            request.key = last.key + [0]
        }
    }

    /// - Returns: The revision of the database.
    func currentRevision() async throws -> Int64 {
        var request = range("/registry/health")
        request.countOnly = true
        return try await client.call("KV/Range", request, EtcdRangeResponse.self).header.revision
    }

    func grantLease(seconds: Int64) async throws -> Int64 {
        let request = EtcdLeaseGrantRequest.with { $0.ttl = seconds }
        return try await client.call("Lease/LeaseGrant", request, EtcdLeaseGrantResponse.self).id
    }

    func revokeLease(_ lease: Int64) async throws {
        let request = EtcdLeaseRevokeRequest.with { $0.id = lease }
        _ = try await client.call("Lease/LeaseRevoke", request, EtcdLeaseRevokeResponse.self)
    }

    /// What one of several API servers does every five minutes: who is first compacts.
    ///
    /// - Parameter version: How often that was done before, as this one knows.
    /// - Returns: Whether this one was first.
    func compact(to revision: Int64, version: Int64) async throws -> Bool {
        let key = "compact_rev_key"
        let compare = EtcdCompare.with {
            ($0.key, $0.target, $0.result) = (Data(key.utf8), .version, .equal)
            $0.version = version
        }
        let answer = try await txn(key, if: compare, .with { $0.requestPut = put(key, "\(revision)", 0) })
        guard answer.succeeded else { return false }
        try await client.compact(to: revision)
        return true
    }

    /// Everything under a prefix, none of whose bytes is 255.
    static func range(_ prefix: String) -> (key: Data, end: Data) {
        let key = Data(prefix.utf8)
        return (key, key.dropLast() + [(key.last ?? 0) + 1])
    }

    private func range(_ prefix: String) -> EtcdRangeRequest {
        .with { ($0.key, $0.rangeEnd) = Self.range(prefix) }
    }

    private func untilUnchanged(
        _ key: String, _ known: EtcdKeyValue?, _ operation: (EtcdKeyValue?) -> EtcdRequestOp,
    ) async throws -> Int {
        var known = known
        var conflicts = 0
        while true {
            let answer = try await txn(key, if: Self.isUnchanged(key, since: known?.modRevision ?? 0), operation(known))
            if answer.succeeded { return conflicts }
            guard let found = answer.responses.first, answer.responses.count == 1 else {
                throw ProcessFailure("what there is of \(key): \(answer)")
            }
            known = found.responseRange.kvs.first
            conflicts += 1
        }
    }

    private static func isUnchanged(_ key: String, since revision: Int64) -> EtcdCompare {
        .with {
            ($0.key, $0.target, $0.result) = (Data(key.utf8), .mod, .equal)
            $0.modRevision = revision
        }
    }

    /// Does something, or else reads the key.
    private func txn(
        _ key: String, if compare: EtcdCompare, _ operation: EtcdRequestOp,
    ) async throws -> EtcdTxnResponse {
        let request = EtcdTxnRequest.with { request in
            request.compare = [compare]
            request.success = [operation]
            request.failure = [.with { $0.requestRange.key = Data(key.utf8) }]
        }
        return try await client.call("KV/Txn", request, EtcdTxnResponse.self)
    }

    private func put(_ key: String, _ value: String, _ lease: Int64) -> EtcdPutRequest {
        .with { ($0.key, $0.value, $0.lease) = (Data(key.utf8), Data(value.utf8), lease) }
    }
}
