package import T4Protocols

/// How large the database may get before what adds to it is refused. Belongs to the commit thread.
///
/// The engine is asked for its size only now and then, since that takes a while; between two times the size counts as
/// what was asked for, and what was let through since on top. A refusal follows from a size that was just asked for.
package final class SpaceQuota {
    /// Raised with the first refusal, so that those after it need no size.
    package let alarm: Alarm
    private let limit: Int
    private let size: () throws(EngineError) -> Int
    private var measured: Int?
    private var added = 0

    /// - Parameters:
    ///   - limit: In bytes; a database that would reach it is full.
    ///   - member: Whose alarm it raises.
    ///   - size: What the engine holds now, in bytes.
    package init(limit: Int, member: UInt64, size: @escaping () throws(EngineError) -> Int) {
        self.limit = limit
        alarm = Alarm(.noSpace, member: member)
        self.size = size
    }

    /// Whether there is room for so many bytes, which then count as added.
    package func admits(_ bytes: Int) throws(EngineError) -> Bool {
        if let measured, measured + added + bytes < limit, added <= limit / 64 {
            added += bytes
            return true
        }
        let size = try size()
        measured = size
        added = 0
        guard size + bytes < limit else { return false }
        added = bytes
        return true
    }
}

extension ProposalKind {
    /// What a proposal may add to the database, in bytes, as etcd estimates it; 0 for one that needs no space. Of a
    /// transaction the puts of both branches matter, whichever runs, but not those of nested transactions. What is mirrored
    /// has been let in elsewhere.
    package var spaceNeeded: Int {
        switch self {
        case .put(let request): request.spaceNeeded
        case .grant: 64
        case .txn(let request): max(request.success.spaceNeeded, request.failure.spaceNeeded)
        case .deleteRange, .compact, .revoke, .raise, .disarm, .auth, .mirror: 0
        }
    }
}

extension PutRequest {
    fileprivate var spaceNeeded: Int { 256 + key.count + value.count }
}

extension [RequestOperation] {
    fileprivate var spaceNeeded: Int {
        reduce(0) { total, operation in
            if case .put(let request) = operation { total + request.spaceNeeded } else { total }
        }
    }
}
