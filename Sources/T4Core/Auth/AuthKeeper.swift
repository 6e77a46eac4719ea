import Synchronization

/// What the keeper needs from the rest of the node.
package protocol AuthProposals: AnyObject, Sendable {
    /// Proposes a change of tokens; the completion comes from any thread.
    func propose(_ request: AuthRequest, completion: @escaping @Sendable (Bool) -> Void)
}

/// Who may do what and who is logged in, for the threads that answer requests. Usable from any thread.
///
/// Accounts and tokens come from the log, before the engine shows what else the same entries and later ones changed: a
/// reader that has looked at a snapshot and finds `generation` as it was before has not seen anything that a newer rule
/// forbids. How long a token still lives is known here alone; the log hears of it now and then, so that a restart does
/// not end what is in use.
package final class AuthKeeper: Sendable {
    private struct State {
        var auth: AuthState
        var view: AuthView
        var sessions: [[UInt8]: TokenSession] = [:]
    }

    /// Whether this node ends logins that are not used, and how much later than it knows of their last use.
    private let ending = Mutex<(isOn: Bool, grace: Int64)>((true, 0))
    /// The longest time between two looks while there are logins, in nanoseconds.
    private static let pause: Int64 = 60_000_000_000

    /// Rises with each change of accounts.
    private let changes = Atomic<UInt64>(0)
    private let enabled: Atomic<Bool>
    private let state: Mutex<State>
    private let lifetime: Int64
    private let elapsed: any ElapsedClock
    private let clock: Clock
    private weak let proposals: (any AuthProposals)?
    private let worker: Mutex<SignalledThread?>

    /// - Parameters:
    ///   - auth: What the log says so far.
    ///   - lifetime: How long a token lives unless it is used; a second or more.
    package init(
        _ auth: AuthState, lifetime: Duration, proposals: any AuthProposals, clock: Clock,
        elapsed: any ElapsedClock = BootClock()
    ) {
        self.lifetime = lifetime.nanoseconds
        self.elapsed = elapsed
        self.clock = clock
        self.proposals = proposals
        worker = Mutex(nil)
        enabled = Atomic(auth.accounts.isEnabled)
        var state = State(auth: auth, view: AuthView(auth.accounts))
        let (now, wall) = (elapsed.now.nanoseconds, clock.wall())
        for token in auth.tokens.values {
            state.sessions[token.hash] = TokenSession(
                token, deadline: AuthKeeper.deadline(of: token, now, wall, lifetime.nanoseconds))
        }
        self.state = Mutex(state)
    }

    /// Starts the thread that ends unused logins; it holds the keeper until `stop`.
    package func start() {
        worker.withLock { worker in
            guard worker == nil else { return }
            let thread = SignalledThread(name: "t4-auth") { self.step() }
            worker = thread
            thread.start()
        }
    }

    /// Ends the thread; nothing is proposed afterwards.
    package func stop() { worker.withLock { $0 }?.stop() }

    /// Whether this node proposes the end of logins that are not used: one node of a cluster does.
    /// - Parameter grace: Others let clients in with tokens too, and the log hears of it only in the second half of a token's life.
    func endsLogins(_ isOn: Bool, grace: Bool = false) {
        ending.withLock { $0 = (isOn, grace ? lifetime / 2 : 0) }
        if isOn { worker.withLock { $0 }?.wake() }
    }

    // MARK: Questions

    /// Whether requests have to show who they are from.
    package var isEnabled: Bool { enabled.load(ordering: .acquiring) }

    /// Changes with every change of accounts, and with nothing else.
    package var generation: UInt64 { changes.load(ordering: .acquiring) }

    /// The accounts as they are.
    package var view: AuthView { state.withLock { $0.view } }

    /// Nanoseconds since 1970, for tokens that say themselves when they end.
    package var wallTime: UInt64 { clock.wall() }

    /// The login of a token; nil for none, or one that has ended.
    package func session(of token: [UInt8]) -> TokenSession? {
        let hash = AuthToken.hash(of: token)
        return state.withLock { $0.sessions[hash] }
    }

    /// A request shows the token of a login.
    /// - Returns: False when the login has ended.
    package func use(_ session: TokenSession) -> Bool {
        switch session.use(now: elapsed.now.nanoseconds, lifetime: lifetime) {
        case .refused: return false
        case .taken: return true
        case .extends:
            extend(session)
            return true
        }
    }

    /// A login to propose.
    /// - Parameter token: A secret that nobody can guess.
    package func makeToken(_ token: [UInt8], for user: [UInt8]) -> AuthToken {
        AuthToken(hash: AuthToken.hash(of: token), user: user, expires: clock.wall() + UInt64(lifetime))
    }

    // MARK: From the log

    /// Changes that are committed and not yet shown by the engine; again without effect.
    package func apply(_ applied: [AuthChange]) {
        let (now, wall) = (elapsed.now.nanoseconds, clock.wall())
        let wakes = state.withLock { state in
            let hadNone = state.sessions.isEmpty
            for change in applied {
                state.auth.apply(change)
                guard !change.isAboutAccounts else { continue }
                if case .token(let token)? = change.row {
                    let deadline = AuthKeeper.deadline(of: token, now, wall, lifetime)
                    if let session = state.sessions[token.hash] {
                        session.extended(to: deadline)
                    } else {
                        state.sessions[token.hash] = TokenSession(token, deadline: deadline)
                    }
                } else if let session = state.sessions.removeValue(forKey: AuthRow.key(ofRow: change.name)) {
                    session.end()
                }
            }
            if applied.contains(where: \.isAboutAccounts) {
                state.view = AuthView(state.auth.accounts)
                enabled.store(state.auth.accounts.isEnabled, ordering: .releasing)
                changes.add(1, ordering: .releasing)
            }
            return hadNone && !state.sessions.isEmpty
        }
        if wakes { worker.withLock { $0 }?.wake() }
    }

    // MARK: Ends

    private func extend(_ session: TokenSession) {
        guard let proposals else { return session.extended(to: nil) }
        let (deadline, expires) = (elapsed.now.nanoseconds + lifetime, clock.wall() + UInt64(lifetime))
        proposals.propose(.extendToken(hash: session.hash, expires: expires)) { isDone in
            // Also where the log had a later time already, since the wall clock went back.
            session.extended(to: isDone ? deadline : nil)
        }
    }

    /// Ends what was not used for too long. Called by the keeper's thread, one at a time.
    func step() -> SignalledThread.Next {
        let (isOn, grace) = ending.withLock { $0 }
        guard isOn else { return .whenWoken }
        let now = elapsed.now.nanoseconds
        let (ended, next) = state.withLock { state in
            var ended: [TokenSession] = []
            // Where removals are under way, a look whether they have failed.
            var next: Int64? = state.sessions.isEmpty ? nil : now + AuthKeeper.pause
            for session in state.sessions.values where !session.isRemoving.load(ordering: .relaxed) {
                if session.isOver(at: now - grace) {
                    session.end()
                    session.isRemoving.store(true, ordering: .relaxed)
                    ended.append(session)
                } else {
                    next = min(next ?? .max, session.expiry + grace)
                }
            }
            return (ended, next)
        }
        if !ended.isEmpty {
            let hashes = ended.map(\.hash).sorted { $0.lexicographicallyPrecedes($1) }
            proposals?.propose(.removeTokens(hashes: hashes)) { isDone in
                guard !isDone else { return }
                for session in ended { session.isRemoving.store(false, ordering: .relaxed) }
            }
        }
        // Many tokens end in one entry rather than each in its own.
        return next.map { .after(max(.nanoseconds($0 - now), .seconds(1))) } ?? .whenWoken
    }

    /// How long a token of the log lives from now: never longer than if it had just been used.
    private static func deadline(of token: AuthToken, _ now: Int64, _ wall: UInt64, _ lifetime: Int64) -> Int64 {
        guard token.expires > wall else { return now }
        return now + min(Int64(clamping: token.expires - wall), lifetime)
    }
}
