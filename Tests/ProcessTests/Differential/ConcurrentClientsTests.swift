import EtcdAPI
import Foundation
import RPC
import T4Conformance
import Testing

/// Goal: t4 and etcd answer clients that work at the same time alike. Method: each client writes and reads keys of its
/// own, so that what it sees depends on nobody else but for the revisions, which are compared by their order. Each
/// server is checked for itself: every write has a revision of its own, and a watch tells each of them once, in order.
struct ConcurrentClientsTests {
    private static let clients = 4

    @Test(arguments: DifferentialTests.engines)
    func ownKeysShowNoDifference(_ engine: String) async throws {
        guard try await TestEnvironment.engines().contains(engine) else { return }
        let seed = TestEnvironment.seed
        let count = TestEnvironment.isSlowAllowed ? 5000 : 150
        let scripts = (0..<ConcurrentClientsTests.clients).map { client in
            OwnKeyScript.steps(seed: seed &+ UInt64(client), client: client, count: count)
        }
        try await Slots.servers.use {
            async let wanted = ConcurrentClientsTests.transcripts(of: scripts, on: .etcd)
            async let got = ConcurrentClientsTests.transcripts(of: scripts, on: .t4(engine: engine))
            let (etcd, t4) = try await (wanted, got)
            for client in scripts.indices {
                let difference = scripts[client].indices.first { etcd[client][$0] != t4[client][$0] }
                guard let difference else { continue }
                Issue.record(
                    """
                    client \(client) on \(engine), T4_TEST_SEED=\(seed): \(scripts[client][difference])
                    etcd: \(etcd[client][difference])
                    t4:   \(t4[client][difference])
                    """)
            }
        }
    }

    /// What each client saw, after the checks of the server itself.
    private static func transcripts(
        of scripts: [[Step]], on kind: ServerUnderTest.Kind,
    ) async throws -> [[String]] {
        try await withTemporaryDirectory { folder in
            let server = try await ServerUnderTest.start(kind, dataDirectory: folder.appending(path: "data"))
            do {
                let watcher = try await EtcdClient.connect(to: server)
                let log = try watcher.watch(from: 1)
                let clients = try await withThrowingTaskGroup(of: (Int, OwnKeyClient).self) { group in
                    for (number, steps) in scripts.enumerated() {
                        group.addTask { (number, try await OwnKeyClient.run(steps, on: server)) }
                    }
                    return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
                }
                try await check(clients.values.flatMap(\.writes), log, watcher, kind)
                await watcher.close()
                await server.crash()
                return scripts.indices.map { clients[$0]?.transcript ?? [] }
            } catch {
                await server.crash()
                throw error
            }
        }
    }

    /// Checks one server: its revisions, its watch, and that both tell of the same database.
    private static func check(
        _ writes: [Int64], _ log: WatchLog, _ client: EtcdClient, _ kind: ServerUnderTest.Kind,
    ) async throws {
        let state = try await client.all()
        let changes = try #require(await log.changes(through: state.revision))
        let revisions = changes.map(\.revision)
        #expect(Set(writes).count == writes.count, "\(kind): two writes have one revision")
        #expect(writes.sorted() == Array(2...state.revision), "\(kind): revisions of nobody's write")
        #expect(revisions == revisions.sorted(), "\(kind): a watch went back")
        #expect(Set(revisions) == Set(writes), "\(kind): a watch that leaves out a revision")
        #expect(Set(changes.map { "\($0.revision) \($0.key)" }).count == changes.count, "\(kind): told twice")
        var rows: [String: Change] = [:]
        for change in changes { rows[change.key] = change.value == nil ? nil : change }
        #expect(Set(rows.values) == Set(state.rows), "\(kind): the watch's changes do not give the state")
    }
}

/// One client, its answers, and the revisions of its writes.
private struct OwnKeyClient: Sendable {
    private var answers: [[TextField]] = []
    private(set) var writes: [Int64] = []

    static func run(_ steps: [Step], on server: ServerUnderTest) async throws -> OwnKeyClient {
        var side = try await Side(server)
        var client = OwnKeyClient()
        for step in steps {
            let message = try side.message(of: step, revision: 0, compacted: 0)
            switch try await Side.call(step.verb, message, on: side.client) {
            case .failed(let status): client.answers.append([TextField("status", "\(status)")])
            case .message(let bytes):
                let revision = try side.cut(bytes).revision ?? 0
                let fields = try [TextField](text: VerbCodec.of(step.verb).text(bytes))
                client.answers.append(fields.filter { $0.name != "header" })
                if OwnKeyScript.isWrite(step, fields) { client.writes.append(revision) }
            }
        }
        await side.client.close()
        return client
    }

    /// The answers with each revision replaced by its rank among all that the client has seen.
    var transcript: [String] {
        var seen: Set<Int64> = []
        for field in answers.joined() {
            _ = field.mapped { name, scalar in
                if name.hasSuffix("_revision"), let revision = Int64(scalar) { seen.insert(revision) }
                return scalar
            }
        }
        let ranks = Dictionary(uniqueKeysWithValues: zip(seen.sorted(), 0...))
        return answers.map { fields in
            fields.compactMap { field in
                field.mapped { name, scalar in
                    // Headers within a transaction name the database's revision, which others move on.
                    if name == "revision" { return nil }
                    guard name.hasSuffix("_revision"), let rank = Int64(scalar).flatMap({ ranks[$0] }) else {
                        return scalar
                    }
                    return "#\(rank)"
                }
            }.text
        }
    }
}

/// Random steps on the keys under a client's own prefix.
private enum OwnKeyScript {
    static func steps(seed: UInt64, client: Int, count: Int) -> [Step] {
        var generator = StepGenerator(seed: seed)
        return (0..<count).map { _ in step(client, &generator) }
    }

    /// True when an answer tells of a change. Each transaction here writes what it says.
    static func isWrite(_ step: Step, _ answer: [TextField]) -> Bool {
        switch step.verb {
        case .put, .txn: true
        case .deleteRange: answer["deleted"] != nil
        default: false
        }
    }

    private static func step(_ client: Int, _ generator: inout StepGenerator) -> Step {
        let name = generator.one(of: ["a", "b", "c"])
        let key = TextField("key", bytes: "\(client)/\(name)".utf8)
        let all = [TextField("key", bytes: "\(client)/".utf8), TextField("range_end", bytes: "\(client)0".utf8)]
        switch generator.random.next() % 10 {
        case 0..<4:
            return Step(.put, [key, TextField("value", generator.value())] + generator.flag("prev_kv", percent: 50))
        case 4: return Step(.put, [key, TextField("ignore_value", true)])
        case 5: return Step(.deleteRange, (generator.chance(20) ? all : [key]) + [TextField("prev_kv", true)])
        case 6, 7: return Step(.range, all + [TextField("sort_target", generator.one(of: ["KEY", "MOD", "VALUE"]))])
        default:
            let compare = [key, TextField("result", generator.one(of: ["GREATER", "LESS"])), TextField("version", 2)]
            func branch(_ name: String) -> [TextField] {
                let write = [key, TextField("value", "\"\(name)\""), TextField("prev_kv", true)]
                return [
                    TextField(name, [TextField("request_range", all)]),
                    TextField(name, [TextField("request_put", write)]),
                ]
            }
            return Step(.txn, [TextField("compare", compare)] + branch("success") + branch("failure"))
        }
    }
}
