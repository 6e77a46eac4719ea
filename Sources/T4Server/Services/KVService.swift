import RPC
import T4Core
import T4Protocols

/// `etcdserverpb.KV`. Reads are answered on the event loop, writes from the thread that applied them.
struct KVService: Sendable {
    let context: ServiceContext
    private let rangeStreams = OpenRangeStreams()

    init(context: ServiceContext) { self.context = context }

    func register(in router: inout RPCRouter) {
        router.unary("/etcdserverpb.KV/Range", range)
        router.stream("/etcdserverpb.KV/RangeStream") { [context, rangeStreams] call in
            PatientCall(call, context, RangeStreamWork(call, context, rangeStreams))
        }
        router.unary("/etcdserverpb.KV/Put", put)
        router.unary("/etcdserverpb.KV/DeleteRange", deleteRange)
        router.unary("/etcdserverpb.KV/Txn", txn)
        router.unary("/etcdserverpb.KV/Compact", compact)
    }

    private func range(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            let request = try RangeRequest(protobuf: bytes)
            call.remark = (request.key.count, request.rangeEnd.count)
            try request.validate()
            if request.serializable || context.node.isCurrent { return try range(request, call) }
            context.whenCurrent(call) { try range(request, call) }
        }
    }

    private func range(_ request: RangeRequest, _ call: ServerCall) throws {
        let answer = try context.reading(call) { authorization, _ in
            try authorization.check(request)
        } _: { reader in
            var writer = RangeResponseWriter(from: context.origin, revision: reader.meta.revision)
            let summary = try request.evaluate(on: SnapshotView(reader)) { key, header, value in
                writer.append(
                    key: key, createRevision: header.create.rawValue, modRevision: header.mod.rawValue,
                    version: header.version, lease: header.lease, value: value)
            }
            return writer.finish(more: summary.more, count: summary.count)
        }
        call.respond(answer)
    }

    private func put(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            let request = try PutRequest(protobuf: bytes)
            call.remark = (request.key.count, 0)
            try request.validate()
            try propose(.put(request), call, bytes)
        }
    }

    private func deleteRange(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            let request = try DeleteRangeRequest(protobuf: bytes)
            call.remark = (request.key.count, request.rangeEnd.count)
            try request.validate()
            try propose(.deleteRange(request), call, bytes)
        }
    }

    private func txn(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            let request = try TxnRequest(protobuf: bytes)
            call.remark = (request.success.count + request.failure.count, 0)
            try request.validate(operationsMax: context.settings.txnOperationsMax)
            guard request.isReadOnly else { return try propose(.txn(request), call, bytes) }
            if request.isSerializable || context.node.isCurrent { return try read(request, call) }
            context.whenCurrent(call) { try read(request, call) }
        }
    }

    private func read(_ request: TxnRequest, _ call: ServerCall) throws {
        let response = try context.reading(call) { authorization, _ in
            try authorization.check(request) { _ in [] }
        } _: { reader in
            try Node.readOnlyTxn(request, on: reader)
        }
        var answer: [UInt8] = []
        response.append(to: &answer, from: context.origin)
        call.respond(answer)
    }

    private func compact(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            let request = try CompactionRequest(protobuf: bytes)
            // etcd looks at the rights before anything else.
            try context.requireAdmin(call)
            try context.submit(.compact(request.revision), for: call, writing: bytes) { [context] result in
                guard request.physical, case .success = result else { return context.answer(call, result) }
                context.node.whenCompacted(Revision(request.revision)) { context.answer(call, result) }
            }
        }
    }

    private func propose(_ kind: ProposalKind, _ call: ServerCall, _ bytes: RawSpan) throws(DatabaseError) {
        try context.submit(kind, for: call, writing: bytes, mayBlock: call.isAlone) { [context] result in
            context.answer(call, result)
        }
    }
}

extension ServiceContext {
    /// Answers a call with what became of its proposal.
    func answer(_ call: ServerCall, _ result: Result<ProposalResponse, DatabaseError>) {
        switch result {
        case .success(let response):
            call.answeringErrors {
                var answer: [UInt8] = []
                try encode(response, to: &answer)
                call.respond(answer)
            }
        case .failure(let error): call.fail(EtcdErrors.status(error))
        }
    }

    private func encode(_ response: ProposalResponse, to bytes: inout [UInt8]) throws(RPCStatus) {
        switch response {
        case .put(let response): response.append(to: &bytes, from: origin)
        case .deleteRange(let response): response.append(to: &bytes, from: origin)
        case .txn(let response): response.append(to: &bytes, from: origin)
        case .compact(let revision), .revoke(let revision): origin.appendHeaderOnly(revision: revision, to: &bytes)
        case .grant(let response):
            LeaseGrantAnswer(response: response).append(to: &bytes, from: origin)
        case .auth(let revision): origin.appendHeaderOnly(revision: revision, to: &bytes)
        case .alarm(let revision, let alarm):
            bytes = try message(revision: revision, alarms: alarm.map { [$0] } ?? []).encoded()
        case .mirror: preconditionFailure("no request of a client mirrors")
        }
    }
}
