import EtcdAPI
import FoundationEssentials
import RPC
import SwiftProtobuf
import T4Core

/// `v3lockpb.Lock`: locks for clients without a library that makes them from keys and leases.
struct LockService: Sendable {
    let context: ServiceContext

    func register(in router: inout RPCRouter) {
        router.stream("/v3lockpb.Lock/Lock") { [context] call in
            let wording = LineWork.Wording(
                answer: { _, place, revision in
                    try EtcdLockResponse.with {
                        $0.header = context.message(revision: revision)
                        $0.key = Data(place.key)
                    }.encoded()
                }, lost: EtcdErrors.lockLost)
            let work = LineWork(call, context, wording: wording) { bytes in
                let request = try EtcdLockRequest(decoding: bytes)
                return LineWork.Wish(name: Array(request.name), lease: request.lease)
            }
            return PatientCall(call, context, work)
        }
        router.unary("/v3lockpb.Lock/Unlock", unlock)
    }

    private func unlock(_ call: ServerCall, _ bytes: RawSpan) {
        call.passingOnErrors {
            let request = DeleteRangeRequest(key: Array(try EtcdUnlockRequest(decoding: bytes).key))
            try request.validate()
            try context.submit(.deleteRange(request), for: call, writing: bytes) { [context] result in
                call.passingOnErrors {
                    guard case .deleteRange(let response) = try result.get() else {
                        preconditionFailure("a DeleteRange is answered")
                    }
                    call.respond(
                        try EtcdUnlockResponse.with { $0.header = context.message(revision: response.revision) }
                            .encoded())
                }
            }
        }
    }
}

extension ServerCall {
    /// Runs `body` and answers with what it throws, as etcd's services of services do.
    func passingOnErrors(_ body: () throws -> Void) {
        do {
            try body()
        } catch {
            fail(EtcdErrors.passedOn(RPCStatus(describing: error)))
        }
    }
}
