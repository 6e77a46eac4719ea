import EtcdAPI
import RPC
import T4Core

extension MaintenanceService {
    /// Lists, raises or disarms. As in etcd, listing looks at the kind alone, and disarming means exactly the member and
    /// kind that are given: `etcdctl alarm disarm` lists first and then asks for each.
    func alarm(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            let request = try EtcdAlarmRequest(decoding: bytes)
            if request.action == .get { try context.requireUser(call) } else { try context.requireAdmin(call) }
            let alarm = Alarm.Kind(request.alarm).map { Alarm($0, member: request.memberID) }
            switch request.action {
            case .get: context.whenCurrent(call) { try list(request.alarm, call) }
            case .activate:
                if case .UNRECOGNIZED(let number) = request.alarm {
                    throw RPCStatus(.unimplemented, "t4: there is no alarm of type \(number)")
                }
                try change(alarm.map { .raise($0) }, call, bytes)
            case .deactivate: try change(alarm.map { .disarm($0) }, call, bytes)
            case .UNRECOGNIZED(let number):
                throw RPCStatus(.unimplemented, "t4: there is no action \(number) on alarms")
            }
        }
    }

    private func list(_ type: EtcdAlarmType, _ call: ServerCall) throws {
        let (revision, raised) = try context.node.reading { ($0.meta.revision, try $0.alarms()) }
        let alarms = type == .none ? raised : raised.filter { $0.kind == Alarm.Kind(type) }
        call.respond(try context.message(revision: revision, alarms: alarms).encoded())
    }

    /// Nil for no kind at all, which succeeds without an effect.
    private func change(_ proposal: ProposalKind?, _ call: ServerCall, _ bytes: RawSpan) throws {
        guard let proposal else {
            return call.respond(try context.message(revision: context.node.revision, alarms: []).encoded())
        }
        try context.submit(proposal, for: call, writing: bytes) { [context] result in
            context.answer(call, result)
        }
    }
}

extension ServiceContext {
    /// The answer to every request about alarms.
    func message(revision: Revision, alarms: [Alarm]) -> EtcdAlarmResponse {
        var answer = EtcdAlarmResponse()
        answer.header = message(revision: revision)
        answer.alarms = alarms.map { alarm in
            var member = EtcdAlarmMember()
            member.memberID = alarm.member
            member.alarm = alarm.kind.type
            return member
        }
        return answer
    }
}

extension Alarm {
    /// As etcd puts it into a status: the text form of its message, with a space behind each field.
    var text: String {
        let name =
            switch kind {
            case .noSpace: "alarm:NOSPACE "
            case .corrupt: "alarm:CORRUPT "
            }
        return member == 0 ? name : "memberID:\(member) " + name
    }
}

extension Alarm.Kind {
    fileprivate init?(_ type: EtcdAlarmType) {
        switch type {
        case .nospace: self = .noSpace
        case .corrupt: self = .corrupt
        case .none, .UNRECOGNIZED: return nil
        }
    }

    fileprivate var type: EtcdAlarmType {
        switch self {
        case .noSpace: .nospace
        case .corrupt: .corrupt
        }
    }
}
