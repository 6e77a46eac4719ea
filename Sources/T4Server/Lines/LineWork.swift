import RPC
import T4Core

/// Joins a line and waits until nobody is in front: a lock, or a campaign.
final class LineWork: PatientWork, @unchecked Sendable {
    // Unchecked: everything that changes is touched on the call's event loop only.

    /// What a call wants, read from its request.
    struct Wish: Sendable {
        var name: [UInt8]
        /// The lease the place lasts with; 0 for one of a minute of its own.
        var lease: Int64
        /// What the key is to hold; nil for a lock, whose key keeps what it holds.
        var value: [UInt8]?
    }

    /// How the service words its answers.
    struct Wording {
        /// The name, the lease, the place, and the revision for the header.
        var answer: (_ wish: Wish, _ place: Line.Place, _ revision: Revision) throws -> [UInt8]
        /// The key is gone before its turn came.
        var lost: RPCStatus
    }

    private enum Phase {
        case beginning
        /// For a lease, for the place, for the value of a place that was held before.
        case granting, joining
        case proclaiming(Line.Joining)
        case waiting(Line.Joining, WatchStream?)
        case over
    }

    /// Of a lease that the server chooses, as in etcd: longer waits need a lease of the client's own.
    static let leaseSeconds: Int64 = 60
    private static let drainBytes = 64 * 1024

    private let call: ServerCall
    private let context: ServiceContext
    private let inbox: ProposalInbox
    private let decode: (RawSpan) throws -> Wish
    private let wording: Wording
    private var wish = Wish(name: [], lease: 0)
    private var line = Line(name: [])
    private var phase = Phase.beginning

    init(
        _ call: ServerCall, _ context: ServiceContext, wording: Wording, decode: @escaping (RawSpan) throws -> Wish
    ) {
        self.call = call
        self.context = context
        self.wording = wording
        self.decode = decode
        inbox = ProposalInbox(call, context.node)
    }

    func begin(_ request: RawSpan) throws {
        wish = try decode(request)
        line = Line(name: wish.name)
        passingOnErrors {
            let requester = context.requester(try context.authorization(of: call, writing: request))
            if wish.lease != 0 { return try join(from: requester) }
            let leases = context.node.leases
            let lease = LeaseRecord(id: leases.makeID(), ttl: leases.ttl(forWish: LineWork.leaseSeconds))
            phase = .granting
            inbox.submit(.grant(lease), from: requester)
        }
    }

    /// Whoever may join may read who is in front.
    private func join(from requester: Requester?) throws {
        let request = line.join(lease: wish.lease, value: wish.value ?? [])
        try request.validate(operationsMax: context.settings.txnOperationsMax)
        phase = .joining
        inbox.submit(.txn(request), from: requester)
    }

    func proceed() {
        passingOnErrors {
            switch phase {
            case .beginning, .over: break
            case .granting:
                guard case .grant(let lease)? = try inbox.take()?.get() else { return }
                wish.lease = lease.id
                try join(from: context.requester(of: call))
            case .joining:
                guard case .txn(let response)? = try inbox.take()?.get() else { return }
                let joining = Line.Joining(response, key: line.key(lease: wish.lease), value: wish.value ?? [])
                if let value = wish.value, joining.value != value {
                    let requester = try context.requester(of: call)
                    phase = .proclaiming(joining)
                    inbox.submit(.txn(joining.place.proclaim(value, lease: wish.lease)), from: requester)
                } else {
                    try waitForTurn(joining)
                }
            case .proclaiming(let joining):
                guard case .txn(let response)? = try inbox.take()?.get() else { return }
                if response.succeeded { try waitForTurn(joining) } else { end { $0.finish(self.wording.lost) } }
            case .waiting(let joining, let stream):
                if let stream, try LineWork.isGone(stream) { try look(joining) }
            }
        }
    }

    func cancel() {
        let (line, wish, leave) = (line, wish, leave)
        inbox.abandon { answer in
            // Who gave up while the place was made is not left in the line for others to wait for. A place at its head
            // is kept: the client may believe that it has it.
            guard case .success(.txn(let response)) = answer, response.responses.count == 2 else { return }
            let joining = Line.Joining(response, key: line.key(lease: wish.lease), value: [])
            if !joining.isFirst { leave(joining.place) }
        }
        if case .waiting(let joining, _) = phase { leave(joining.place) }
        end { _ in }
    }

    private func waitForTurn(_ joining: Line.Joining) throws {
        if joining.isFirst { try answer(joining.place, joining.revision) } else { try look(joining) }
    }

    /// Finds who is in front and waits until they leave.
    private func look(_ joining: Line.Joining) throws {
        phase = .waiting(joining, nil)
        let (revision, front, isThere) = try context.node.reading { reader in
            let view = SnapshotView(reader)
            let front = try line.last(before: joining.place).evaluate(on: view)
            let own = try RangeRequest(key: joining.place.key, keysOnly: true).evaluate(on: view).kvs.first
            return (front.revision, front.kvs.first, own?.createRevision == joining.place.created)
        }
        guard let front else {
            // Not before its turn: as in etcd, whose key is gone waits on.
            guard isThere else { return end { $0.finish(self.wording.lost) } }
            // What this node shows may be old, and the place lost meanwhile with its lease.
            return context.node.ask(.index) { [self] result in
                call.onLoop { self.confirm(joining, result) }
            }
        }
        let stream = try context.openWatches(for: call)
        phase = .waiting(joining, stream)
        _ = stream.create(WatchSpec(key: front.key, startRevision: revision.next.rawValue, noPut: true))
    }

    /// Answers if the place at the head is still there.
    private func confirm(_ joining: Line.Joining, _ result: Result<LeaderReply, DatabaseError>) {
        guard case .waiting(_, nil) = phase else { return }
        passingOnErrors {
            _ = try result.get()
            let (revision, isThere) = try context.node.reading { reader in
                let own = RangeRequest(key: joining.place.key, keysOnly: true)
                let found = try own.evaluate(on: SnapshotView(reader))
                return (found.revision, found.kvs.first?.createRevision == joining.place.created)
            }
            guard isThere else { return end { $0.finish(self.wording.lost) } }
            // A lock answers with the state that shows it at the head, a campaign with that of its begin, as in etcd.
            try answer(joining.place, wish.value == nil ? revision : joining.revision)
        }
    }

    /// Whether there is reason to look again: the key was deleted, or it cannot be told any more.
    private static func isGone(_ stream: WatchStream) throws -> Bool {
        for delivery in stream.drain(maxBytes: drainBytes) {
            switch delivery {
            case .created, .progress: break
            case .events: return true
            case .canceled(_, .compacted, _): return true
            case .canceled(_, .refused(let text), _), .refused(.refused(let text), _):
                throw RPCStatus(.resourceExhausted, text)
            case .canceled, .refused: throw EtcdErrors.stopped
            }
        }
        return false
    }

    private func answer(_ place: Line.Place, _ revision: Revision) throws {
        let message = try wording.answer(wish, place, revision)
        end { call in
            call.send(message)
            call.finish()
        }
    }

    /// Errors end the call. A place that waits is given up with them, as in etcd.
    private func passingOnErrors(_ body: () throws -> Void) {
        do {
            try body()
        } catch {
            if case .waiting(let joining, _) = phase { leave(joining.place) }
            end { $0.finish(EtcdErrors.passedOn(RPCStatus(describing: error))) }
        }
    }

    private func end(_ body: (ServerCall) -> Void) {
        if case .waiting(_, let stream) = phase { stream?.close() }
        phase = .over
        body(call)
    }

    /// Gives a place up, from any thread; nobody is left to tell whether it worked, and if it did not, the key goes with
    /// its lease.
    private var leave: @Sendable (Line.Place) -> Void {
        let node = context.node
        do {
            let requester = try context.requester(of: call)
            return { node.submit(.txn($0.leave), from: requester) { _ in } }
        } catch {
            // Logged out meanwhile.
            return { _ in }
        }
    }
}
