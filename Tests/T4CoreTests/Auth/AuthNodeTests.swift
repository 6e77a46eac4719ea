import Foundation
import Synchronization
import T4BuiltIns
import T4Protocols
import Testing

@testable import T4Core

/// Accounts in a node: they survive restarts and lost disks, count from their place in the queue, and earlier versions
/// refuse what they could not protect.
struct AuthNodeTests {
    private static let root = AuthAccounts.root

    /// - Returns: Nil for success.
    private func submit(
        _ node: Node, _ kind: ProposalKind, as user: String? = nil, anonymous: Bool = false
    ) async -> DatabaseError.Code? {
        let revision = node.auth.view.revision
        let requester =
            anonymous
            ? Requester(user: nil, revision: 0) : user.map { Requester(user: [UInt8]($0), revision: revision) }
        return await withCheckedContinuation { continuation in
            node.submit(kind, from: requester) { result in
                if case .failure(let error) = result {
                    continuation.resume(returning: error.code)
                } else {
                    continuation.resume(returning: nil)
                }
            }
        }
    }

    private func begin(_ node: Node) async {
        let requests: [AuthRequest] = [
            .addUser(AuthUser(Self.root, password: [UInt8]("hash"))), .grantRole(user: Self.root, role: Self.root),
            .addRole([UInt8]("r")),
            .grantPermission(
                role: [UInt8]("r"), AuthPermission(.readWrite, key: [UInt8]("a"), rangeEnd: [UInt8]("c"))),
            .addUser(AuthUser([UInt8]("u"), password: [])), .grantRole(user: [UInt8]("u"), role: [UInt8]("r")),
            .enable,
        ]
        for request in requests { #expect(await submit(node, .auth(request)) == nil, "\(request)") }
        let token = node.auth.makeToken([UInt8]("secret"), for: Self.root)
        let login = AuthRequest.issueToken(token, checkedRevision: node.auth.view.revision)
        #expect(await submit(node, .auth(login)) == nil)
    }

    private func put(_ text: String, lease: Int64 = 0, previous: Bool = false) -> ProposalKind {
        .put(PutRequest(key: [UInt8](text), value: [], lease: lease, previous: previous))
    }

    @Test(arguments: BackendRegistry.builtIn.engineNames) func accountsOutliveARestart(_ engine: String) async throws {
        let test = try TestNode(engine: engine)
        await begin(test.node)
        #expect(test.node.revision == .initial, "accounts make no revision")
        let state = try AuthState(test.node.read())
        #expect(state.tokens.count == 1 && state.accounts.isEnabled && state.accounts.revision == 7)
        let meta = try test.node.read().meta
        #expect(meta.hasAuth)
        try test.restart()
        #expect(try AuthState(test.node.read()) == state)
        #expect(try test.node.read().meta == meta)
        #expect(test.node.auth.view.accounts == state.accounts && test.node.auth.isEnabled)
        let session = try #require(test.node.auth.session(of: [UInt8]("secret")))
        #expect(test.node.auth.use(session) && session.user == Self.root)
        #expect(await submit(test.node, put("a"), anonymous: true) == .userNameEmpty)
    }

    @Test func theRightsOfEachRequest() async throws {
        let test = try TestNode()
        let node = test.node
        await begin(node)
        #expect(await submit(node, put("a"), as: "u") == nil)
        #expect(await submit(node, put("c"), as: "u") == .permissionDenied)
        #expect(await submit(node, put("c"), as: "root") == nil)
        #expect(await submit(node, put("c")) == nil, "the node itself")
        #expect(await submit(node, put("a"), as: "gone") == .permissionDenied)
        #expect(await submit(node, put("a"), anonymous: true) == .userNameEmpty)
        #expect(await submit(node, .compact(2), as: "gone") == .userNotFound)
        #expect(await submit(node, .compact(2), as: "u") == .permissionDenied)
        #expect(await submit(node, .raise(Alarm(.noSpace, member: 1)), as: "u") == .permissionDenied)
        #expect(await submit(node, .disarm(Alarm(.noSpace, member: 1)), anonymous: true) == .userNameEmpty)
        #expect(await submit(node, .grant(LeaseRecord(id: 5, ttl: 100)), anonymous: true) == .userNameEmpty)
        #expect(await submit(node, .grant(LeaseRecord(id: 5, ttl: 100)), as: "u") == nil)
        #expect(await submit(node, put("a", lease: 5), as: "u") == nil)
        #expect(await submit(node, .revoke(lease: 5), anonymous: true) == .userNameEmpty)
        #expect(await submit(node, put("z", lease: 5), as: "root") == nil)
        #expect(await submit(node, put("a", lease: 5), as: "u") == .permissionDenied, "not all of the lease is its own")
        let nested = TxnRequest(
            compares: [],
            success: [.txn(TxnRequest(compares: [], success: [.put(PutRequest(key: [97], value: [], lease: 5))]))])
        #expect(await submit(node, .txn(nested), as: "u") == .permissionDenied)
        #expect(await submit(node, .revoke(lease: 5), as: "u") == .permissionDenied)
        #expect(await submit(node, .deleteRange(DeleteRangeRequest(key: [UInt8]("z"))), as: "root") == nil)
        #expect(await submit(node, .revoke(lease: 5), as: "u") == nil)
        #expect(await submit(node, .auth(.addRole([UInt8]("x"))), as: "u") == .permissionDenied)
        #expect(await submit(node, .auth(.addRole([UInt8]("x"))), anonymous: true) == .userNameEmpty)
        let old = Requester(user: [UInt8]("u"), revision: node.auth.view.revision - 1)
        let code: DatabaseError.Code? = await withCheckedContinuation { continuation in
            node.submit(put("a"), from: old) { result in
                if case .failure(let error) = result { return continuation.resume(returning: error.code) }
                continuation.resume(returning: nil)
            }
        }
        #expect(code == .authRevisionOld)
    }

    /// One group of the commit thread may hold a change of rights and requests before and behind it.
    @Test func rightsCountFromTheirPlaceInTheQueue() async throws {
        let test = try TestNode()
        let node = test.node
        await begin(node)
        let user = Requester(user: [UInt8]("u"), revision: node.auth.view.revision)
        let revoked = ProposalKind.auth(.revokeRole(user: [UInt8]("u"), role: [UInt8]("r")))
        let proposals: [(ProposalKind, Requester?)] = [
            (put("a"), user), (revoked, nil), (put("b"), user), (put("c"), nil),
            (put("b"), Requester(user: [UInt8]("u"), revision: user.revision + 1)),
        ]
        let answers = AsyncStream<(Int, DatabaseError.Code?)>.makeStream()
        for (index, proposal) in proposals.enumerated() {
            node.submit(proposal.0, from: proposal.1) { result in
                if case .failure(let error) = result {
                    answers.continuation.yield((index, error.code))
                } else {
                    answers.continuation.yield((index, nil))
                }
            }
        }
        var codes = [DatabaseError.Code?](repeating: .stopped, count: proposals.count)
        var left = proposals.count
        for await (index, code) in answers.stream {
            codes[index] = code
            left -= 1
            if left == 0 { break }
        }
        #expect(codes == [nil, nil, .authRevisionOld, nil, .permissionDenied])
    }

    @Test func aLostDiskTakesNothing() async throws {
        let test = try await StoreNode(.objectStore)
        try await test.start()
        await begin(test.node)
        _ = try await test.node.checkpoint()
        // One part in the checkpoint, one in the log behind it.
        #expect(await submit(test.node, .auth(.addUser(AuthUser([UInt8]("late"), password: [])))) == nil)
        let state = try AuthState(test.node.read())
        let meta = try test.node.read().meta
        try await test.stop()
        try test.removeDisk()
        try await test.start()
        #expect(try AuthState(test.node.read()) == state)
        #expect(try test.node.read().meta == meta)
        #expect(test.node.auth.isEnabled && test.node.auth.view.accounts == state.accounts)
        // And from a checkpoint alone, whose rows have the digest of the manifest.
        _ = try await test.node.checkpoint()
        try await test.stop()
        try test.removeDisk()
        try await test.start()
        #expect(try AuthState(test.node.read()) == state)
        try await test.stop()
    }

    /// What an earlier version knows: engines whose row of the state is 56 bytes long, checkpoints of format 1, and
    /// mutations up to 7.
    @Test func earlierVersionsRefuse() async throws {
        let test = try await StoreNode(.objectStore)
        try await test.start()
        try await test.put("a", "1")
        func metaSize() throws -> Int {
            var size = 0
            _ = try test.node.read().snapshot.read(SystemRow.meta) { size = $0.byteCount }
            return size
        }
        func format() async throws -> Int {
            // Nil where the one that each start makes has everything already.
            _ = try await test.node.checkpoint()
            let head = String(
                decoding: try await test.base.get("db/manifest/latest", bytes: nil).bytes, as: UTF8.self)
            let name = String(try #require(head.firstMatch(of: /"checkpoint":"([^"]+)"/)?.1))
            let bytes = try await test.base.get(ObjectKey("db/" + name), bytes: nil).bytes
            return try ManifestFile.decode(bytes, key: ObjectKey(name)).checkpoint.format
        }
        #expect(try metaSize() == 56)
        #expect(try await format() == 1)
        #expect(await submit(test.node, .auth(.addRole([UInt8]("r")))) == nil)
        #expect(try metaSize() == 57)
        #expect(try await format() == 2)
        // For good: the revision of the accounts stays.
        #expect(await submit(test.node, .auth(.deleteRole([UInt8]("r")))) == nil)
        #expect(try metaSize() == 57)
        #expect(try await format() == 2)
        try await test.stop()
        let change = AuthChange(from: nil, to: .role(AuthRole([1])))
        #expect(MutationCoding.encode([.auth(change)]).first == 16)
    }

    /// Nobody may see what was written after a right was taken away by who still holds the old one: the keeper has to
    /// know of the change before the engine shows it.
    @Test func theKeeperKnowsBeforeTheEngineShows() async throws {
        let test = try TestNode()
        let node = test.node
        await begin(node)
        let generation = node.auth.generation
        let isDone = Mutex(false)
        let watcher = Task.detached {
            // Until the change is visible in a snapshot, and then the keeper must have it.
            while true {
                let done = isDone.withLock { $0 }
                let revision = try AuthState(node.read()).accounts.revision
                let known = node.auth.view.revision
                #expect(known >= revision)
                if done { return }
                await Task.yield()
            }
        }
        for number in 0..<50 {
            #expect(await submit(node, .auth(.addRole([UInt8]("role \(number)")))) == nil)
        }
        isDone.withLock { $0 = true }
        try await watcher.value
        #expect(node.auth.generation == generation + 50)
    }
}
