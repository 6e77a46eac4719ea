import Synchronization
import T4Protocols
import Testing

@testable import T4Core

/// Logins in memory: how long they last, what the log hears of it, and what a restart makes of them.
struct AuthKeeperTests {
    /// Collects proposals; those of tokens are made at once, through the keeper, unless they are to fail.
    private final class Proposals: AuthProposals {
        let requests = Mutex<[AuthRequest]>([])
        let fails = Atomic(false)
        let world = Mutex<World?>(nil)

        func propose(_ request: AuthRequest, completion: @escaping @Sendable (Bool) -> Void) {
            requests.withLock { $0.append(request) }
            if fails.load(ordering: .relaxed) { return completion(false) }
            world.withLock { $0 }?.change(request)
            completion(true)
        }
    }

    private final class World: Sendable {
        let clock = ManualClock()
        let proposals = Proposals()
        let state: Mutex<AuthState>
        let keeper: AuthKeeper

        init(_ state: AuthState = AuthState(), after downtime: Duration = .zero) {
            self.state = Mutex(state)
            let clock = clock
            clock.advance(by: downtime)
            keeper = AuthKeeper(
                state, lifetime: .seconds(100), proposals: proposals,
                clock: Clock { UInt64(clock.now.components.seconds) * 1_000_000_000 }, elapsed: clock)
            proposals.world.withLock { $0 = self }
        }

        deinit { proposals.world.withLock { $0 = nil } }

        func change(_ request: AuthRequest) {
            let changes = state.withLock { state in
                do {
                    let changes = try state.decide(request)
                    for change in changes { state.apply(change) }
                    return changes
                } catch {
                    Issue.record("\(request): \(error)")
                    return []
                }
            }
            keeper.apply(changes)
        }

        func begin() {
            change(.addUser(AuthUser(AuthAccounts.root, password: [])))
            change(.grantRole(user: AuthAccounts.root, role: AuthAccounts.root))
            change(.enable)
        }

        func login(_ token: String) {
            let revision = state.withLock { $0.accounts.revision }
            change(
                .issueToken(keeper.makeToken([UInt8](token), for: AuthAccounts.root), checkedRevision: revision))
        }

        func isGood(_ token: String) -> Bool { keeper.session(of: [UInt8](token)).map { keeper.use($0) } ?? false }

        func end() { proposals.world.withLock { $0 = nil } }
    }

    @Test func aLoginLastsAsLongAsItIsUsed() {
        let world = World()
        defer { world.end() }
        world.begin()
        world.login("t")
        #expect(!world.isGood("u"))
        for _ in 0..<10 {
            world.clock.advance(by: .seconds(90))
            #expect(world.isGood("t"))
        }
        world.clock.advance(by: .seconds(100))
        #expect(!world.isGood("t"))
    }

    @Test func theLogHearsOfUsesNowAndThen() {
        let world = World()
        defer { world.end() }
        world.begin()
        world.login("t")
        for _ in 0..<1000 {
            world.clock.advance(by: .seconds(1))
            #expect(world.isGood("t"))
        }
        let count = world.proposals.requests.withLock { $0.count }
        #expect((18...21).contains(count), "each half of a lifetime")
    }

    @Test func aFailedExtensionIsTriedAgain() {
        let world = World()
        defer { world.end() }
        world.begin()
        world.login("t")
        world.proposals.fails.store(true, ordering: .relaxed)
        world.clock.advance(by: .seconds(60))
        #expect(world.isGood("t") && world.isGood("t"))
        #expect(world.proposals.requests.withLock { $0.count } == 2)
        world.proposals.fails.store(false, ordering: .relaxed)
        #expect(world.isGood("t") && world.isGood("t"))
        #expect(world.proposals.requests.withLock { $0.count } == 3)
    }

    /// A wall clock that goes back makes no entry of each use.
    @Test func anExtensionThatChangesNothingIsNotRepeated() {
        let world = World()
        defer { world.end() }
        world.begin()
        world.login("t")
        world.change(.extendToken(hash: AuthToken.hash(of: [UInt8]("t")), expires: .max))
        world.clock.advance(by: .seconds(60))
        for _ in 0..<10 { #expect(world.isGood("t")) }
        #expect(world.proposals.requests.withLock { $0.count } <= 1)
    }

    @Test func unusedLoginsAreRemoved() {
        let world = World()
        defer { world.end() }
        world.begin()
        world.login("t")
        world.clock.advance(by: .seconds(50))
        world.login("u")
        world.clock.advance(by: .seconds(60))
        world.proposals.fails.store(true, ordering: .relaxed)
        guard case .after(let time) = world.keeper.step() else {
            Issue.record("there is a login left")
            return
        }
        #expect(time == .seconds(40))
        #expect(world.state.withLock { $0.tokens.count } == 2 && !world.isGood("t"))
        world.proposals.fails.store(false, ordering: .relaxed)
        _ = world.keeper.step()
        #expect(world.state.withLock { $0.tokens.count } == 1 && world.isGood("u"))
        world.clock.advance(by: .seconds(200))
        _ = world.keeper.step()
        guard case .whenWoken = world.keeper.step() else {
            Issue.record("there is no login left")
            return
        }
    }

    /// Of the nodes of a cluster one ends logins, and leaves time for those that were used elsewhere.
    @Test func oneOfSeveralNodesEndsLogins() {
        let world = World()
        defer { world.end() }
        world.begin()
        world.keeper.endsLogins(false)
        world.login("t")
        // Used at another node, which tells the log.
        world.clock.advance(by: .seconds(60))
        let expires = UInt64(world.clock.now.components.seconds + 100) * 1_000_000_000
        world.change(.extendToken(hash: AuthToken.hash(of: [UInt8]("t")), expires: expires))
        world.clock.advance(by: .seconds(60))
        #expect(world.isGood("t"))
        world.clock.advance(by: .seconds(149))
        guard case .whenWoken = world.keeper.step() else {
            Issue.record("this node ends nothing")
            return
        }
        world.keeper.endsLogins(true, grace: true)
        _ = world.keeper.step()
        #expect(world.state.withLock { $0.tokens.count } == 1)
        // Another node would let it in until then at most.
        world.clock.advance(by: .seconds(1))
        _ = world.keeper.step()
        #expect(world.state.withLock { $0.tokens.isEmpty })
    }

    @Test(arguments: [(10, true), (69, true), (71, false)])
    func aRestartEndsWhatWouldHaveEnded(_ downtime: Int, _ isGood: Bool) {
        let world = World()
        defer { world.end() }
        world.begin()
        world.login("t")
        world.clock.advance(by: .seconds(30))
        let restarted = World(world.state.withLock { $0 }, after: .seconds(30 + downtime))
        defer { restarted.end() }
        #expect(restarted.isGood("t") == isGood)
        #expect(restarted.keeper.isEnabled)
    }

    @Test func whatEndsInTheLogEndsForWhoHoldsIt() throws {
        let world = World()
        defer { world.end() }
        world.begin()
        world.login("t")
        let session = try #require(world.keeper.session(of: [UInt8]("t")))
        let generation = world.keeper.generation
        #expect(world.keeper.use(session))
        world.change(.changePassword(user: AuthAccounts.root, password: [1]))
        #expect(!world.keeper.use(session) && !world.isGood("t"))
        #expect(world.keeper.generation != generation)
        world.login("u")
        world.change(.disable)
        #expect(!world.keeper.isEnabled && !world.isGood("u"))
    }
}
