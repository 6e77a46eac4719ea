// Questions to the leader; docs/formats.md, "Between nodes", describes every byte. Version 1: the first.

/// What a node asks its leader beside proposals. To ask again does no harm.
package enum LeaderQuery: Hashable, Sendable {
    /// How far a linearizable read has to go: the answer is the index that comes with every answer.
    case index
    /// Gives a lease its whole TTL again.
    case renew(Int64)
    /// How long a lease still lives.
    case timeToLive(Int64)
    /// Who belongs to the cluster.
    case members
}

/// The leader's answer to a question.
package enum LeaderReply: Hashable, Sendable {
    case index
    /// The granted TTL in seconds; nil for an unknown or expired lease.
    case renewed(Int64?)
    /// In seconds; nil for an unknown lease.
    case timeToLive(LeaseTime?)
    /// The leader first.
    case members([ClusterMember])
}

/// How long a lease lives, in whole seconds.
package struct LeaseTime: Hashable, Sendable {
    /// What is left of it; 0 for one that has expired and is about to be revoked.
    package var remaining: Int64
    /// What was granted.
    package var granted: Int64

    init(remaining: Int64, granted: Int64) {
        self.remaining = remaining
        self.granted = granted
    }
}

/// A request as it travels to the leader, and what comes back.
package enum LeaderRequest: Sendable {
    /// Questions that are asked together.
    case queries([LeaderQuery])
    /// Something to be committed.
    case proposal(ProposalKind, from: Requester?)

    func encoded(_ seed: PeerSeed) -> [UInt8] {
        var writer = PeerWriter()
        switch self {
        case .queries(let queries):
            writer.put(UInt8(1))
            writer.put(all: queries) { writer, query in
                switch query {
                case .index: writer.put(UInt8(0))
                case .renew(let lease):
                    writer.put(UInt8(1))
                    writer.put(lease)
                case .timeToLive(let lease):
                    writer.put(UInt8(2))
                    writer.put(lease)
                case .members: writer.put(UInt8(3))
                }
            }
        case .proposal(let kind, let requester):
            writer.put(UInt8(2))
            writer.put(optional: requester) { $0.put($1) }
            writer.put(kind)
        }
        return writer.sealed(seed)
    }

    init(_ bytes: [UInt8], _ seed: PeerSeed) throws(PeerCodingError) {
        var reader = try PeerReader.whole(bytes, seed: seed)
        let kind: UInt8 = try reader.number()
        switch kind {
        case 1:
            self = .queries(
                try reader.all { (reader) throws(PeerCodingError) in
                    let kind: UInt8 = try reader.number()
                    switch kind {
                    case 0: return .index
                    case 1: return .renew(try reader.number())
                    case 2: return .timeToLive(try reader.number())
                    case 3: return .members
                    default: throw .unknown(field: "question", UInt64(kind))
                    }
                })
        case 2:
            let requester = try reader.optional("requester") { (reader) throws(PeerCodingError) in
                try reader.requester()
            }
            self = .proposal(try reader.proposal(), from: requester)
        default: throw .unknown(field: "request", UInt64(kind))
        }
        try reader.finish()
    }
}

/// What the leader answers to a `LeaderRequest`.
package enum LeaderAnswer: Sendable {
    /// Everything that was acknowledged before the question is in the log up to this entry.
    case replies([LeaderReply], index: UInt64)
    /// It is committed, and in the log up to this entry.
    case committed(ProposalResponse, index: UInt64)
    /// Nothing came of it, or `.outcomeUnknown`.
    case failed(DatabaseError)

    func encoded(_ seed: PeerSeed) -> [UInt8] {
        var writer = PeerWriter()
        switch self {
        case .replies(let replies, let index):
            writer.put(UInt8(1))
            writer.put(index)
            writer.put(all: replies) { writer, reply in
                switch reply {
                case .index: writer.put(UInt8(0))
                case .renewed(let ttl):
                    writer.put(UInt8(1))
                    writer.put(optional: ttl) { $0.put($1) }
                case .timeToLive(let time):
                    writer.put(UInt8(2))
                    writer.put(optional: time) { writer, time in
                        writer.put(time.remaining)
                        writer.put(time.granted)
                    }
                case .members(let members):
                    writer.put(UInt8(3))
                    writer.put(all: members) { $0.put($1) }
                }
            }
        case .committed(let response, let index):
            writer.put(UInt8(2))
            writer.put(index)
            writer.put(response)
        case .failed(let error):
            writer.put(UInt8(3))
            writer.put(error)
        }
        return writer.sealed(seed)
    }

    init(_ bytes: [UInt8], _ seed: PeerSeed) throws(PeerCodingError) {
        var reader = try PeerReader.whole(bytes, seed: seed)
        let kind: UInt8 = try reader.number()
        switch kind {
        case 1:
            let index: UInt64 = try reader.number()
            self = .replies(try reader.all { (reader) throws(PeerCodingError) in try reader.reply() }, index: index)
        case 2:
            let index: UInt64 = try reader.number()
            self = .committed(try reader.response(), index: index)
        case 3: self = .failed(try reader.databaseError())
        default: throw .unknown(field: "answer", UInt64(kind))
        }
        try reader.finish()
    }
}

extension PeerWriter {
    fileprivate mutating func put(_ member: ClusterMember) {
        put(member.instance)
        put(member.name)
        put(member.address)
        put(all: member.clientURLs) { $0.put($1) }
        put(member.match)
        put(member.isInSync)
        put(member.isReadOnly)
    }
}

extension PeerReader {
    private mutating func member() throws(PeerCodingError) -> ClusterMember {
        ClusterMember(
            instance: try text(), name: try text(), address: try text(),
            clientURLs: try all { (reader) throws(PeerCodingError) in try reader.text() }, match: try number(),
            isInSync: try flag("in_sync"), isReadOnly: try flag("read_only"))
    }

    fileprivate mutating func reply() throws(PeerCodingError) -> LeaderReply {
        let kind: UInt8 = try number()
        switch kind {
        case 0: return .index
        case 1: return .renewed(try optional("ttl") { (reader) throws(PeerCodingError) in try reader.number() })
        case 2:
            return .timeToLive(
                try optional("time") { (reader) throws(PeerCodingError) in
                    LeaseTime(remaining: try reader.number(), granted: try reader.number())
                })
        case 3:
            return .members(try all { (reader) throws(PeerCodingError) in try reader.member() })
        default: throw .unknown(field: "reply", UInt64(kind))
        }
    }
}
