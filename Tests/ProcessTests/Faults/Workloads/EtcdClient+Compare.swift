import EtcdAPI
import Foundation
import SwiftProtobuf

extension EtcdClient {
    /// What a transaction asks for first.
    enum Condition: Sendable {
        case value(String, of: String)
        case changed(Int64, key: String)
        /// 0: there is no such key.
        case created(Int64, key: Data)

        fileprivate var message: EtcdCompare {
            EtcdCompare.with { compare in
                compare.result = .equal
                switch self {
                case .value(let value, let key):
                    compare.key = Data(key.utf8)
                    compare.target = .value
                    compare.value = Data(value.utf8)
                case .changed(let revision, let key):
                    compare.key = Data(key.utf8)
                    compare.target = .mod
                    compare.modRevision = revision
                case .created(let revision, let key):
                    compare.key = key
                    compare.target = .create
                    compare.createRevision = revision
                }
            }
        }
    }

    /// Puts keys where all conditions hold.
    func put(_ pairs: [(key: String, value: String)], where conditions: [Condition]) async throws -> (
        isDone: Bool, revision: Int64
    ) {
        let request = EtcdTxnRequest.with { request in
            request.compare = conditions.map(\.message)
            request.success = pairs.map { pair in
                EtcdRequestOp.with { operation in
                    operation.requestPut = EtcdPutRequest.with {
                        $0.key = Data(pair.key.utf8)
                        $0.value = Data(pair.value.utf8)
                    }
                }
            }
        }
        let answer = try await call("KV/Txn", request, EtcdTxnResponse.self)
        return (answer.succeeded, answer.header.revision)
    }

    /// Puts a value where the key holds another one, or is not there.
    func swap(_ key: String, _ old: String?, _ new: String) async throws -> (isDone: Bool, revision: Int64) {
        let condition = old.map { Condition.value($0, of: key) } ?? .created(0, key: Data(key.utf8))
        return try await put([(key, new)], where: [condition])
    }

    /// The keys with a prefix, of now or of an old revision.
    func rows(_ prefix: String, at revision: Int64 = 0) async throws -> DatabaseState {
        var end = Array(prefix.utf8)
        end[end.count - 1] += 1
        let request = EtcdRangeRequest.with {
            $0.key = Data(prefix.utf8)
            $0.rangeEnd = Data(end)
            $0.revision = revision
        }
        return DatabaseState(try await call("KV/Range", request, EtcdRangeResponse.self))
    }

    /// One key.
    func row(_ key: String) async throws -> (row: Change?, revision: Int64) {
        let request = EtcdRangeRequest.with { $0.key = Data(key.utf8) }
        let state = DatabaseState(try await call("KV/Range", request, EtcdRangeResponse.self))
        return (state.rows.first, state.revision)
    }
}

extension DatabaseState {
    init(_ answer: EtcdRangeResponse) {
        self.init(
            revision: answer.header.revision,
            rows: answer.kvs.map { row in
                Change(
                    revision: row.modRevision, key: String(decoding: row.key, as: UTF8.self),
                    value: String(decoding: row.value, as: UTF8.self), version: row.version)
            })
    }
}
