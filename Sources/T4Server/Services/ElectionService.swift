import EtcdAPI
import FoundationEssentials
import RPC
import SwiftProtobuf
import T4Core

/// `v3electionpb.Election`: elections for clients without a library that makes them from keys and leases.
struct ElectionService: Sendable {
    let context: ServiceContext

    func register(in router: inout RPCRouter) {
        router.stream("/v3electionpb.Election/Campaign") { [context] call in
            let wording = LineWork.Wording(
                answer: { wish, place, revision in
                    try EtcdCampaignResponse.with {
                        $0.header = context.message(revision: revision)
                        $0.leader.name = Data(wish.name)
                        $0.leader.key = Data(place.key)
                        $0.leader.rev = place.created.rawValue
                        $0.leader.lease = wish.lease
                    }.encoded()
                }, lost: EtcdErrors.notLeader)
            let work = LineWork(call, context, wording: wording) { bytes in
                let request = try EtcdCampaignRequest(decoding: bytes)
                return LineWork.Wish(name: Array(request.name), lease: request.lease, value: Array(request.value))
            }
            return PatientCall(call, context, work)
        }
        router.unary("/v3electionpb.Election/Proclaim", proclaim)
        router.unary("/v3electionpb.Election/Leader", leader)
        router.stream("/v3electionpb.Election/Observe") { [context] call in
            PatientCall(call, context, ObserveWork(call, context))
        }
        router.unary("/v3electionpb.Election/Resign", resign)
    }

    private func proclaim(_ call: ServerCall, _ bytes: RawSpan) {
        call.passingOnErrors {
            let request = try EtcdProclaimRequest(decoding: bytes)
            guard request.hasLeader else { throw EtcdErrors.leaderMissing }
            let (place, value) = (Line.Place(request.leader), Array(request.value))
            let requester = context.requester(try context.authorization(of: call, writing: bytes))
            if request.leader.lease != 0 {
                return try submit(place.proclaim(value, lease: request.leader.lease), from: requester, call, proclaimed)
            }
            let leases = context.node.leases
            let record = LeaseRecord(id: leases.makeID(), ttl: leases.ttl(forWish: LineWork.leaseSeconds))
            context.node.submit(.grant(record), from: requester) { [self] result in
                call.passingOnErrors {
                    _ = try result.get()
                    try submit(place.proclaim(value, lease: record.id), from: requester, call, proclaimed)
                }
            }
        }
    }

    @Sendable private func proclaimed(_ response: TxnResponse) throws -> [UInt8] {
        guard response.succeeded else { throw EtcdErrors.notLeader }
        return try EtcdProclaimResponse.with { $0.header = context.message(revision: response.revision) }.encoded()
    }

    private func resign(_ call: ServerCall, _ bytes: RawSpan) {
        call.passingOnErrors {
            let request = try EtcdResignRequest(decoding: bytes)
            guard request.hasLeader else { throw EtcdErrors.leaderMissing }
            // Who does not lead has resigned.
            let requester = try context.requester(of: call)
            try submit(Line.Place(request.leader).leave, from: requester, call) { [context] response in
                try EtcdResignResponse.with { $0.header = context.message(revision: response.revision) }.encoded()
            }
        }
    }

    private func leader(_ call: ServerCall, _ bytes: RawSpan) {
        call.passingOnErrors {
            let line = Line(name: Array(try EtcdLeaderRequest(decoding: bytes).name))
            context.node.ask(.index) { [context] result in
                call.onLoop {
                    call.passingOnErrors {
                        _ = try result.get()
                        let found = try context.range(line.first, for: call)
                        guard let leader = found.kvs.first else { throw EtcdErrors.noLeader }
                        call.respond(try context.leader(leader, revision: found.revision))
                    }
                }
            }
        }
    }

    private func submit(
        _ request: TxnRequest, from requester: Requester?, _ call: ServerCall,
        _ answer: @escaping @Sendable (TxnResponse) throws -> [UInt8]
    ) throws {
        try request.validate(operationsMax: context.settings.txnOperationsMax)
        context.node.submit(.txn(request), from: requester) { result in
            call.passingOnErrors {
                guard case .txn(let response) = try result.get() else { preconditionFailure("a Txn is answered") }
                call.respond(try answer(response))
            }
        }
    }
}

extension Line.Place {
    fileprivate init(_ leader: EtcdLeaderKey) { self.init(key: Array(leader.key), created: Revision(leader.rev)) }
}

extension ServiceContext {
    /// A `LeaderResponse`.
    func leader(_ row: KeyValue, revision: Revision) throws -> [UInt8] {
        try EtcdLeaderResponse.with {
            $0.header = message(revision: revision)
            $0.kv.key = Data(row.key)
            $0.kv.createRevision = row.createRevision.rawValue
            $0.kv.modRevision = row.modRevision.rawValue
            $0.kv.version = row.version
            $0.kv.lease = row.lease
            $0.kv.value = Data(row.value)
        }.encoded()
    }
}
