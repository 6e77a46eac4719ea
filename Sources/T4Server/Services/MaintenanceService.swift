import EtcdAPI
import RPC
import SwiftProtobuf
import T4Core
import T4Protocols

/// `etcdserverpb.Maintenance`: status, hashes, alarms, defragmentation.
struct MaintenanceService: Sendable {
    /// The version clients see. Kubernetes asks for at least 3.5.13 before it relies on progress requests.
    static let etcdVersion = "3.6.1"

    let context: ServiceContext

    func register(in router: inout RPCRouter) {
        router.unary("/etcdserverpb.Maintenance/Status", status)
        router.unary("/etcdserverpb.Maintenance/Alarm", alarm)
        router.unary("/etcdserverpb.Maintenance/Defragment", defragment)
        router.unary("/etcdserverpb.Maintenance/Hash", hash)
        router.unary("/etcdserverpb.Maintenance/HashKV", hashKV)
        router.unary("/etcdserverpb.Maintenance/MoveLeader", moveLeader)
        router.unary("/etcdserverpb.Maintenance/Downgrade", downgrade)
    }

    private func status(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            try context.requireUser(call)
            var answer = EtcdStatusResponse()
            answer.header = context.message(revision: context.node.revision)
            answer.version = MaintenanceService.etcdVersion
            let node = context.node
            (answer.dbSize, answer.dbSizeInUse) = try node.reading { _ in
                (Int64(try node.sizeOnDisk()), Int64(try node.sizeInUse()))
            }
            answer.dbSizeQuota = Int64(node.quotaBytes ?? 0)
            answer.leader = node.leaderID
            answer.raftTerm = node.term
            answer.raftAppliedIndex = node.published.appliedIndex
            answer.raftIndex = max(node.statistics.committedIndex, answer.raftAppliedIndex)
            answer.isLearner = node.isReadOnly
            answer.storageVersion = SnapshotFile.storageVersion
            answer.errors = try context.node.alarms().map(\.text)
            call.respond(try answer.encoded())
        }
    }

    /// Reads and writes go on meanwhile. etcd's answer has no header.
    private func defragment(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            try context.requireAdmin(call)
            context.node.flush { [self] result in
                inBackground(call) { [context] in
                    try result.get()
                    try context.node.reclaimSpace()
                    return try EtcdDefragmentResponse().encoded()
                }
            }
        }
    }

    /// Only the current leader may hand leadership on, and only to another member.
    private func moveLeader(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            let request = try EtcdMoveLeaderRequest(decoding: bytes)
            try context.requireAdmin(call)
            guard context.node.leaderID == context.node.memberID else { throw EtcdErrors.notTheLeader }
            if request.targetID == context.node.memberID { return try moved(call) }
            context.asking(.members, for: call) { reply in
                guard case .members(let members) = reply else { preconditionFailure("not what was asked") }
                let heir = members.first { Node.memberID(ofInstance: $0.instance) == request.targetID }
                guard let heir else { throw EtcdErrors.badLeaderTransferee }
                context.node.handOver(to: heir.instance) { isLeading in
                    call.answeringErrors {
                        guard isLeading else { throw EtcdErrors.leaderTransferTimeout }
                        try moved(call)
                    }
                }
            }
        }
    }

    private func moved(_ call: ServerCall) throws {
        call.respond(try EtcdMoveLeaderResponse.with { $0.header = context.message(revision: .none) }.encoded())
    }

    /// There is no version to go back to, so that none is valid and no downgrade is ever under way.
    private func downgrade(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            let request = try EtcdDowngradeRequest(decoding: bytes)
            try context.requireAdmin(call)
            switch request.action {
            case .validate, .enable:
                guard ReleaseNumber.isValid(request.version) else { throw EtcdErrors.wrongDowngradeVersion }
                throw EtcdErrors.invalidDowngradeTarget
            case .cancel: throw EtcdErrors.noDowngrade
            case .UNRECOGNIZED: throw RPCStatus(.unknown, "etcdserver: unknown method")
            }
        }
    }

    private func hash(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            try context.requireAdmin(call)
            inBackground(call) { [context] in
                let reader = try context.node.reading { $0 }
                var answer = EtcdHashResponse()
                answer.header = context.message(revision: reader.meta.revision)
                answer.hash = try StateHash.hash(reader, through: reader.meta.revision)
                return try answer.encoded()
            }
        }
    }

    private func hashKV(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            let request = try EtcdHashKVRequest(decoding: bytes)
            try context.requireAdmin(call)
            inBackground(call) { [context] in
                let reader = try context.node.reading { $0 }
                let newest = reader.meta.revision
                if request.revision > newest.rawValue { throw DatabaseError(.futureRevision) }
                if request.revision > 0, request.revision < reader.meta.compacted.rawValue {
                    throw DatabaseError(.compacted)
                }
                let revision = request.revision > 0 ? Revision(request.revision) : newest
                var answer = EtcdHashKVResponse()
                answer.header = context.message(revision: newest)
                answer.hash = try StateHash.hash(reader, through: revision)
                answer.compactRevision = reader.meta.compacted == .none ? -1 : reader.meta.compacted.rawValue
                answer.hashRevision = revision.rawValue
                return try answer.encoded()
            }
        }
    }

    /// Work that reads everything runs beside the event loops, one at a time.
    private func inBackground(_ call: ServerCall, _ work: @escaping @Sendable () throws -> [UInt8]) {
        context.settings.background.run { [context] in
            do {
                call.respond(try context.node.longReads.hold(work))
            } catch {
                call.fail(RPCStatus(describing: error))
            }
        }
    }
}
