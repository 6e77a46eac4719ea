import EtcdAPI
import RPC
import SwiftProtobuf

/// The answers of both servers to one step, compared field by field.
///
/// Bytes are compared first: etcd and t4 write fields in the same order, so almost always that is all. Where they
/// differ, their texts are, without what two servers cannot have in common.
enum AnswerComparison {
    /// - Parameter since: When the oldest lease of the script was granted.
    /// - Returns: The known difference that the answers show, if it is one.
    /// - Throws: `Mismatch`.
    static func check(
        _ step: Step, _ etcdAnswer: Answer, _ t4Answer: Answer, etcd: inout Side, t4: inout Side,
    ) throws -> KnownDifference? {
        switch (etcdAnswer, t4Answer) {
        case (.failed(let wanted), .failed(let got)):
            if wanted == got { return nil }
            return try known(step, "\(wanted)", "\(got)")
        case (.failed(let wanted), .message(let got)):
            return try known(step, "\(wanted)", try text(step, got, &t4))
        case (.message(let wanted), .failed(let got)):
            return try known(step, try text(step, wanted, &etcd), "\(got)")
        case (.message(let wanted), .message(let got)):
            let (left, right) = (try etcd.cut(wanted), try t4.cut(got))
            if left.revision == right.revision, left.rest == right.rest { return nil }
            let (wantedText, gotText) = (try text(step, wanted, &etcd), try text(step, got, &t4))
            if wantedText == gotText { return nil }
            return try known(step, wantedText, gotText)
        }
    }

    private static func known(_ step: Step, _ etcd: String, _ t4: String) throws -> KnownDifference? {
        if let known = KnownDifference.all.first(where: { $0.explains(step, etcd, t4) }) { return known }
        throw Mismatch(etcd: etcd, t4: t4)
    }

    /// An answer as text without what two servers cannot have in common.
    private static func text(_ step: Step, _ answer: [UInt8], _ side: inout Side) throws -> String {
        let revision = try side.cut(answer).revision
        var fields = side.named(try [TextField](text: VerbCodec.of(step.verb).text(answer)))
        fields.removeAll { $0.name == "header" }
        try normalize(&fields, of: step.verb, answer, side)
        return "revision \(revision.map(String.init) ?? "none") \(fields.text)"
    }

    private static func normalize(
        _ fields: inout [TextField], of verb: Verb, _ answer: [UInt8], _ side: Side,
    ) throws {
        switch verb {
        case .leaseTimeToLive:
            let lease = try EtcdLeaseTimeToLiveResponse(serializedBytes: answer)
            // Time passes between the two servers' answers.
            if lease.grantedTtl > 0 {
                guard (lease.grantedTtl - 600...lease.grantedTtl).contains(lease.ttl) || lease.ttl < 3 else {
                    throw Mismatch("\(side.name): a lease of \(lease.grantedTtl) s has \(lease.ttl) s left")
                }
                fields.removeAll { $0.name == "TTL" }
            }
            // etcd keeps a lease's keys in no order.
            let keys = fields.filter { $0.name == "keys" }.sorted { $0.description < $1.description }
            fields = fields.filter { $0.name != "keys" } + keys
        case .status:
            let status = try EtcdStatusResponse(serializedBytes: answer)
            guard status.leader == status.header.memberID, status.dbSize >= 0, status.dbSizeInUse >= 0,
                status.raftTerm == status.header.raftTerm, status.raftIndex >= status.raftAppliedIndex,
                status.raftAppliedIndex > 0, status.version.wholeMatch(of: /3\.[0-9]+\.[0-9]+/) != nil
            else { throw Mismatch("\(side.name): \(fields.text)") }
            fields.removeAll { !["errors", "is_learner"].contains($0.name) }
        case .memberList:
            let members = try EtcdMemberListResponse(serializedBytes: answer).members
            guard members.count == 1, let member = members.first, member.id != 0, !member.name.isEmpty,
                member.clientUrls.count == 1
            else { throw Mismatch("\(side.name): \(fields.text)") }
            fields = [TextField("is_learner", "\(member.isLearner)")]
        case .authenticate:
            guard try !EtcdAuthenticateResponse(serializedBytes: answer).token.isEmpty else {
                throw Mismatch("\(side.name): a login without a token")
            }
            fields.removeAll { $0.name == "token" }
        default: break
        }
    }
}
