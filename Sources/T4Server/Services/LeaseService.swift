import EtcdAPI
import FoundationEssentials
import RPC
import SwiftProtobuf
import T4Core
import T4Protocols

/// `etcdserverpb.Lease`.
struct LeaseService: Sendable {
    let context: ServiceContext

    func register(in router: inout RPCRouter) {
        router.unary("/etcdserverpb.Lease/LeaseGrant", grant)
        router.unary("/etcdserverpb.Lease/LeaseRevoke", revoke)
        router.unary("/etcdserverpb.Lease/LeaseTimeToLive", timeToLive)
        router.unary("/etcdserverpb.Lease/LeaseLeases", leases)
        router.stream("/etcdserverpb.Lease/LeaseKeepAlive") { [context] call in
            LeaseKeepAliveCall(call, context)
        }
    }

    private func grant(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            let request = try EtcdLeaseGrantRequest(decoding: bytes)
            let leases = context.node.leases
            let record = LeaseRecord(
                id: request.id == 0 ? leases.makeID() : request.id, ttl: leases.ttl(forWish: request.ttl))
            try context.submit(.grant(record), for: call, writing: bytes) { [context] result in
                context.answer(call, result)
            }
        }
    }

    private func revoke(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            let request = try EtcdLeaseRevokeRequest(decoding: bytes)
            try context.submit(.revoke(lease: request.id), for: call, writing: bytes) { [context] result in
                context.answer(call, result)
            }
        }
    }

    private func timeToLive(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            let request = try EtcdLeaseTimeToLiveRequest(decoding: bytes)
            context.asking(.timeToLive(request.id), for: call) { reply in
                guard case .timeToLive(let time) = reply else { preconditionFailure("not what was asked") }
                try answer(request, time, call)
            }
        }
    }

    private func answer(_ request: EtcdLeaseTimeToLiveRequest, _ time: LeaseTime?, _ call: ServerCall) throws {
        let reader = try context.reading(call) { authorization, reader in
            try authorization.requireUser()
            if request.keys { try authorization.checkReading(lease: request.id, reader.keys(leasedTo:)) }
        } _: {
            $0
        }
        var answer = EtcdLeaseTimeToLiveResponse()
        answer.header = context.message(revision: reader.meta.revision)
        answer.id = request.id
        answer.ttl = -1
        if let time {
            answer.ttl = time.remaining
            answer.grantedTtl = time.granted
            if request.keys { answer.keys = try reader.keys(leasedTo: request.id).map { Data($0) } }
        }
        call.respond(try answer.encoded())
    }

    private func leases(_ call: ServerCall, _ bytes: RawSpan) {
        context.whenCurrent(call) {
            // Who lists all leases must be able to read whatever is attached to any.
            let revision = try context.reading(call) { authorization, reader in
                try authorization.requireUser()
                guard !authorization.isRoot else { return }
                try reader.forEachLeasedKey { (key) throws(DatabaseError) in try authorization.requireRead(key) }
            } _: {
                $0.meta.revision
            }
            var answer = EtcdLeaseLeasesResponse()
            answer.header = context.message(revision: revision)
            answer.leases = context.node.leases.ids.map { id in
                var status = EtcdLeaseStatus()
                status.id = id
                return status
            }
            call.respond(try answer.encoded())
        }
    }
}

/// `LeaseKeepAlive`: one answer for each request. Confined to the call's event loop.
private final class LeaseKeepAliveCall: ServerStreamHandler, @unchecked Sendable {
    // Unchecked: everything that changes is touched on the event loop only.

    /// Requests that may wait for the leader before no more are read.
    private static let waitingMax = 1024

    private let call: ServerCall
    private let context: ServiceContext
    /// Requests that were not answered yet.
    private var waiting = 0
    private var isHalfClosed = false

    init(_ call: ServerCall, _ context: ServiceContext) {
        self.call = call
        self.context = context
    }

    func onMessage(_ message: RawSpan) {
        do {
            let request = try LeaseKeepAliveRequest(protobuf: message)
            let authorization = try context.authorization(of: call)
            try authorization.requireUser()
            try authorization.checkWriting(lease: request.id) { [context] lease in
                try context.node.reading { try $0.keys(leasedTo: lease) }
            }
            // The header is of the moment before the renewal, as in etcd.
            let revision = context.node.revision
            waiting += 1
            context.node.ask(.renew(request.id)) { [self] result in
                call.onLoop { self.answer(request.id, revision, result) }
            }
            // A client that does not read its answers sends nothing more for now.
            if !hasRoom { call.pauseReading() }
        } catch {
            call.finish(RPCStatus(describing: error))
        }
    }

    private var hasRoom: Bool { call.isWritable && waiting < LeaseKeepAliveCall.waitingMax }

    private func answer(_ lease: Int64, _ revision: Revision, _ result: Result<LeaderReply, DatabaseError>) {
        waiting -= 1
        do throws(DatabaseError) {
            guard case .renewed(let ttl) = try result.get() else { preconditionFailure("not what was asked") }
            var answer: [UInt8] = []
            LeaseKeepAliveResponse(revision: revision, id: lease, ttl: ttl ?? 0)
                .append(to: &answer, from: context.origin)
            call.send(answer)
        } catch {
            return call.finish(EtcdErrors.status(error))
        }
        if isHalfClosed, waiting == 0 { return call.finish() }
        if waiting == LeaseKeepAliveCall.waitingMax - 1, hasRoom { call.resumeReading() }
    }

    func onHalfClose() {
        isHalfClosed = true
        if waiting == 0 { call.finish() }
    }

    func onCancel(_ reason: CancelReason) {}
    func onWritable() { if hasRoom { call.resumeReading() } }
    func onWake() {}
}

/// `etcdserverpb.LeaseGrantResponse`.
struct LeaseGrantAnswer {
    let response: LeaseGrantResponse

    func append(to bytes: inout [UInt8], from origin: ResponseOrigin) {
        let header = ResponseHeader(origin: origin, revision: response.revision)
        let size = header.fieldSize + ProtoSize.field(response.id) + ProtoSize.field(response.ttl)
        bytes.appendMessage(size: size) { output in
            header.put(to: &output)
            output.put(response.id, field: 2)
            output.put(response.ttl, field: 3)
        }
    }
}
