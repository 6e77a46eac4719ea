import RPC
import T4Core

/// Who a connection's requests are from, so that most of them find out without a lock: the token that was shown last,
/// and the accounts as they were then. Belongs to the connection's event loop.
final class ConnectionLogin {
    private let keeper: AuthKeeper
    private var view: AuthView
    /// Of the keeper, when `view` was taken.
    private(set) var generation: UInt64
    private let signedTokens: SignedTokens?
    private var token: [UInt8] = []
    /// One that this node did not know, last.
    private var unknown: [UInt8] = []
    /// What `token` proves.
    private var proof: Proof?
    /// Of `proof` under `view`.
    private var known: Authorization?
    /// Of requests without a token under `view`.
    private var knownWithout: Authorization?

    /// What a token proves, whether or not it still does.
    private enum Proof {
        case session(TokenSession)
        case claims(SignedTokens.Claims)
    }

    /// - Parameter signedTokens: Those that count; nil where the database knows the tokens.
    init(_ keeper: AuthKeeper, _ signedTokens: SignedTokens?) {
        self.keeper = keeper
        self.signedTokens = signedTokens
        generation = keeper.generation
        view = keeper.view
    }

    /// What a request with this token may do, or without one that of the user whose certificate the client has shown.
    /// - Throws: `.invalidAuthToken`.
    func authorization(_ token: [UInt8]?, certified user: [UInt8]?) throws(DatabaseError) -> Authorization {
        if generation != keeper.generation {
            generation = keeper.generation
            view = keeper.view
            known = nil
            knownWithout = nil
        }
        guard let token else {
            if let knownWithout, knownWithout.requester?.user == user { return knownWithout }
            let found = view.authorization(of: Requester(user: user, revision: view.revision))
            knownWithout = found
            return found
        }
        if proof == nil || token != self.token {
            self.token = token
            proof = proof(of: token)
            known = nil
        }
        guard let proof, isGood(proof) else {
            proof = nil
            throw DatabaseError(.invalidAuthToken)
        }
        if let known { return known }
        let requester =
            switch proof {
            case .session(let session): Requester(user: session.user, revision: view.revision)
            case .claims(let claims): Requester(user: claims.user, revision: claims.revision)
            }
        let found = view.authorization(of: requester)
        known = found
        return found
    }

    /// Whether a token is one of no login, as far as this node knows, and was not told so before.
    fileprivate func isNew(_ token: [UInt8]) -> Bool {
        if proof != nil && token == self.token || token == unknown || keeper.session(of: token) != nil { return false }
        unknown = token
        return true
    }

    private func proof(of token: [UInt8]) -> Proof? {
        guard let signedTokens else { return keeper.session(of: token).map { .session($0) } }
        return signedTokens.claims(of: token).map { .claims($0) }
    }

    private func isGood(_ proof: Proof) -> Bool {
        switch proof {
        case .session(let session): keeper.use(session)
        case .claims(let claims): claims.isValid(at: keeper.wallTime)
        }
    }
}

extension ServiceContext {
    /// Whether requests have to show who they are from.
    var isAuthOn: Bool { settings.enforcesAuth && node.auth.isEnabled }

    /// What a call may do. On the event loop of its connection.
    /// - Throws: `.invalidAuthToken`.
    func authorization(of call: ServerCall) throws(DatabaseError) -> Authorization {
        guard isAuthOn else { return .unlimited }
        return try login(of: call).authorization(of: call)
    }

    /// What etcd's own envelope adds to a request before it is measured.
    private static let envelopeBytes = 17

    /// What a call may do that writes.
    /// - Throws: `.invalidAuthToken`; else `.requestTooLarge` for a request over the limit. In etcd's order: both come before
    ///   anybody looks at rights.
    func authorization(of call: ServerCall, writing request: RawSpan) throws(DatabaseError) -> Authorization {
        let authorization = try authorization(of: call)
        guard request.byteCount + ServiceContext.envelopeBytes <= settings.requestSizeMax else {
            throw DatabaseError(
                .requestTooLarge, "\(request.byteCount) bytes, at most \(settings.requestSizeMax) are allowed")
        }
        return authorization
    }

    /// Refuses a call that does not come from somebody with the role root.
    func requireAdmin(_ call: ServerCall) throws(DatabaseError) { try authorization(of: call).requireAdmin() }

    /// Refuses a call that comes from nobody who has logged in.
    func requireUser(_ call: ServerCall) throws(DatabaseError) { try authorization(of: call).requireUser() }

    /// Runs a read for a call that `check` lets do it.
    /// - Throws: What either throws; `.authRevisionOld` when the rules changed meanwhile, so that nobody sees what came
    ///   after a right was taken away.
    func reading<Value>(
        _ call: ServerCall, _ check: (Authorization, StateReader) throws -> Void,
        _ body: (StateReader) throws -> Value
    ) throws -> Value {
        guard isAuthOn else { return try node.reading(body) }
        let login = login(of: call)
        let authorization = try login.authorization(of: call)
        let value = try node.reading { reader in
            try check(authorization, reader)
            return try body(reader)
        }
        // As etcd, which lets those of a later revision write.
        guard login.generation == node.auth.generation, !authorization.isAhead else {
            throw DatabaseError(.authRevisionOld)
        }
        return value
    }

    /// Hands what a call proposes to the commit pipeline, which decides whether the call may have it.
    /// - Parameter request: As it came.
    /// - Throws: As `authorization(of:writing:)`; then `completion` does not come.
    func submit(
        _ kind: ProposalKind, for call: ServerCall, writing request: RawSpan, mayBlock: Bool = false,
        completion: @escaping Proposal.Completion
    ) throws(DatabaseError) {
        let requester = requester(try authorization(of: call, writing: request))
        node.submit(kind, from: requester, mayBlock: mayBlock, completion: completion)
    }

    /// Who the proposals of a call come from; nil where nobody is asked.
    /// - Throws: `.invalidAuthToken`.
    func requester(of call: ServerCall) throws(DatabaseError) -> Requester? {
        requester(try authorization(of: call))
    }

    /// Who the proposals come from of somebody who may do this; nil where nobody is asked.
    func requester(_ authorization: Authorization) -> Requester? {
        // Nobody, not the node itself: authentication may be on by the time of the decision.
        settings.enforcesAuth ? authorization.requester ?? .nobody : nil
    }

    /// Reads a range for a call.
    /// - Throws: As `reading`.
    func range(_ request: RangeRequest, for call: ServerCall) throws -> RangeResponse {
        try reading(call) { authorization, _ in
            try authorization.check(request)
        } _: { reader in
            try request.evaluate(on: SnapshotView(reader))
        }
    }

    /// Whether a call shows a token that only the database could know and this node does not. On the event loop of its connection.
    func hasUnknownToken(_ call: ServerCall) -> Bool {
        guard isAuthOn, settings.signedTokens == nil, let token = ConnectionLogin.token(of: call) else { return false }
        return login(of: call).isNew(token)
    }

    private func login(of call: ServerCall) -> ConnectionLogin {
        if let known = call.connectionValue as? ConnectionLogin { return known }
        let login = ConnectionLogin(node.auth, settings.signedTokens)
        call.connectionValue = login
        return login
    }
}

extension ConnectionLogin {
    private static let bearer = Array("Bearer ".utf8)

    fileprivate func authorization(of call: ServerCall) throws(DatabaseError) -> Authorization {
        try authorization(ConnectionLogin.token(of: call), certified: ConnectionLogin.certifiedUser(of: call))
    }

    /// As etcd reads it: `token`, else `authorization`, with or without "Bearer ".
    fileprivate static func token(of call: ServerCall) -> [UInt8]? {
        guard let text = call.metadataBytes("token") ?? call.metadataBytes("authorization") else { return nil }
        return text.starts(with: bearer) ? Array(text.dropFirst(bearer.count)) : text
    }

    /// The common name in the client's certificate. The certificate of a gateway, which marks what it passes on, says nothing
    /// about who asks.
    private static func certifiedUser(of call: ServerCall) -> [UInt8]? {
        call.clientCommonName.flatMap { call.metadataBytes("grpcgateway-accept") == nil ? $0 : nil }
    }
}
