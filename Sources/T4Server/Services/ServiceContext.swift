import RPC
import T4Core

/// What every service needs.
struct ServiceContext: Sendable {
    let node: Node
    let settings: EtcdServerSettings
    let advertised: AdvertisedURLs

    /// Who answers, in the term of this moment.
    var origin: ResponseOrigin {
        ResponseOrigin(clusterID: node.clusterID, memberID: node.memberID, raftTerm: node.term)
    }

    /// Runs `body` on the call's event loop once everything is visible here that was acknowledged before, at once where nothing
    /// has to be waited for. Answers the call with what `body` throws, and where that takes too long.
    func whenCurrent(_ call: ServerCall, _ body: @escaping @Sendable () throws -> Void) {
        asking(.index, for: call) { _ in try body() }
    }

    /// Asks whoever leads, and runs `body` with the answer on the call's event loop; otherwise as `whenCurrent`.
    func asking(_ query: LeaderQuery, for call: ServerCall, _ body: @escaping @Sendable (LeaderReply) throws -> Void) {
        node.ask(query) { result in
            call.onLoop { call.answeringErrors { try body(result.get()) } }
        }
    }
}

extension ServerCall {
    /// Runs `body` and answers with what it throws.
    func answeringErrors(_ body: () throws -> Void) {
        do {
            try body()
        } catch {
            fail(RPCStatus(describing: error))
        }
    }
}

extension RPCStatus {
    /// The status of any error that a handler may throw.
    init(describing error: any Error) {
        switch error {
        case let status as RPCStatus: self = status
        case let error as DatabaseError: self = EtcdErrors.status(error)
        case WireFailure.refused(let code): self = EtcdErrors.status(DatabaseError(code))
        case WireFailure.malformed(let reason):
            self.init(.internal, "grpc: error unmarshalling request: \(reason.rawValue)")
        default: self.init(.unknown, "\(error)")
        }
    }
}
