import T4Core

/// The part of every answer's header that does not depend on the request.
package struct ResponseOrigin: Hashable, Sendable {
    /// The cluster's id.
    package var clusterID: UInt64
    /// The answering member's id.
    package var memberID: UInt64
    /// The current term.
    package var raftTerm: UInt64

    /// Fills in what the answering member is.
    package init(clusterID: UInt64, memberID: UInt64, raftTerm: UInt64) {
        self.clusterID = clusterID
        self.memberID = memberID
        self.raftTerm = raftTerm
    }
}

/// `etcdserverpb.ResponseHeader`, always field 1 of the answer, on the wire even when everything in it is 0.
struct ResponseHeader {
    /// A header without anything, as in the answer of a transaction inside a transaction.
    static let empty = ResponseHeader(
        origin: ResponseOrigin(clusterID: 0, memberID: 0, raftTerm: 0), revision: Revision(0))

    /// A header as answers inside a transaction have it.
    static func inTransaction(_ revision: Revision) -> ResponseHeader {
        ResponseHeader(origin: empty.origin, revision: revision)
    }

    /// Who answers.
    var origin: ResponseOrigin
    /// The revision that the answer speaks of.
    var revision: Revision

    private var contentSize: Int {
        ProtoSize.field(origin.clusterID) + ProtoSize.field(origin.memberID) + ProtoSize.field(revision.rawValue)
            + ProtoSize.field(origin.raftTerm)
    }

    /// Bytes with the tag and length before it.
    var fieldSize: Int { ProtoSize.message(contentSize) }

    /// Puts it as field 1.
    func put(to output: inout OutputSpan<UInt8>) {
        output.putMessage(size: contentSize, field: 1)
        output.put(origin.clusterID, field: 1)
        output.put(origin.memberID, field: 2)
        output.put(revision.rawValue, field: 3)
        output.put(origin.raftTerm, field: 4)
    }
}
