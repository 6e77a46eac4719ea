import EtcdAPI
import Foundation
import Synchronization
import T4Conformance

/// Nodes of one cluster around one store, each a process.
final class ClusterUnderTest: Sendable {
    /// What is between the nodes and the rest of the world, where it is not a folder on a machine that is well.
    struct Surroundings: Sendable {
        /// The flags that name the database, for a node, and, without a number, for commands.
        var store: @Sendable (Int?) -> [String]
        /// Beside what all children have.
        var environment: @Sendable (Int?) -> [String: String]
        /// Hears of each process at once.
        var whenLaunched: @Sendable (Int, ChildProcess) -> Void
    }

    let folder: URL
    private let surroundings: Surroundings?
    private let options: @Sendable (Int) -> [String]
    private let running = Mutex<[Int: ServerUnderTest]>([:])

    /// - Parameter options: More options of a node.
    init(
        in folder: URL, _ surroundings: Surroundings? = nil,
        options: @escaping @Sendable (Int) -> [String] = { _ in [] }
    ) {
        self.folder = folder
        self.surroundings = surroundings
        self.options = options
    }

    /// Makes a cluster, and sees to it that none of its processes is left.
    static func with<Result: Sendable>(
        _ count: Int, in folder: URL, _ surroundings: Surroundings? = nil,
        options: @escaping @Sendable (Int) -> [String] = { _ in [] },
        _ body: (ClusterUnderTest) async throws -> Result
    ) async throws -> Result {
        let cluster = ClusterUnderTest(in: folder, surroundings, options: options)
        do {
            for number in 1...count { try await cluster.start(number) }
            let result = try await body(cluster)
            await cluster.crashAll()
            return result
        } catch {
            for node in cluster.nodes { print("node at \(node.address) said\n\(node.process.errors.value)") }
            await cluster.crashAll()
            throw error
        }
    }

    func directory(_ number: Int) -> URL { folder.appending(path: "data-\(number)") }

    /// The arguments of a node, without those that every server in tests has.
    func arguments(_ number: Int) -> [String] {
        [
            "--node-id", "node-\(number)", "--peer-listen", "127.0.0.1:0",
        ] + store(of: number) + options(number)
    }

    /// Where the database is, for a node or for commands.
    func store(of number: Int?) -> [String] {
        surroundings?.store(number) ?? [
            "--store-type", "filesystem", "--store-filesystem-path", folder.appending(path: "store").path,
            "--store-prefix", "t4/",
        ]
    }

    @discardableResult
    func start(_ number: Int, engine: String? = nil) async throws -> ServerUnderTest {
        let node = try await ServerUnderTest.start(
            .t4(engine: engine), dataDirectory: directory(number), options: arguments(number),
            environment: surroundings?.environment(number) ?? [:]
        ) { surroundings?.whenLaunched(number, $0) }
        running.withLock { $0[number] = node }
        return node
    }

    /// Those that run, by their numbers.
    var nodes: [ServerUnderTest] { running.withLock { all in all.keys.sorted().compactMap { all[$0] } } }
    var numbers: [Int] { running.withLock { $0.keys.sorted() } }

    func node(_ number: Int) throws -> ServerUnderTest {
        guard let node = running.withLock({ $0[number] }) else { throw ProcessFailure("node \(number) does not run") }
        return node
    }

    /// Ends a node in good order.
    @discardableResult
    func stop(_ number: Int) async throws -> ExitStatus {
        let node = try node(number)
        running.withLock { $0[number] = nil }
        return try await node.stop()
    }

    /// kill -9.
    func crash(_ number: Int) async throws {
        let node = try node(number)
        running.withLock { $0[number] = nil }
        await node.crash()
    }

    private func crashAll() async {
        let all = nodes
        running.withLock { $0 = [:] }
        for node in all { await node.crash() }
    }

    func loseDisk(_ number: Int) throws { try FileManager.default.removeItem(at: directory(number)) }

    /// What `t4 status` says.
    func status() async throws -> String {
        let process = try ChildProcess(
            try TestEnvironment.t4Binary(), ["status"] + store(of: nil),
            environment: TestEnvironment.forChildren.merging(surroundings?.environment(nil) ?? [:]) { $1 })
        guard try await process.wait() == .code(0) else {
            throw ProcessFailure("t4 status: \(process.errors.value.description)")
        }
        return process.output.value.description
    }

    /// Waits until so many nodes are in sync.
    func untilInSync(_ count: Int) async throws {
        while try await !status().contains("  in sync: \(count)\n") {}
    }

    /// How often a node has said that another one is no longer connected.
    func connectionsLost(by number: Int) throws -> Int {
        try ClusterUnderTest.losses(node(number).process.errors.value.description)
    }

    /// Waits until it has said so that often.
    func untilLost(_ count: Int, by number: Int) async throws {
        _ = try await node(number).process.errors.wait(for: "a node to be missed") { said in
            ClusterUnderTest.losses(said.description) >= count ? true : nil
        }
    }

    private static func losses(_ text: String) -> Int { text.matches(of: /a node is no longer connected/).count }

    /// The number of the node that leads, as it says itself.
    func leader() async throws -> Int {
        while true {
            for number in numbers {
                do {
                    let client = try await EtcdClient.connect(to: try node(number))
                    let status = try await client.call(
                        "Maintenance/Status", EtcdStatusRequest(), EtcdStatusResponse.self)
                    await client.close()
                    if status.leader == status.header.memberID { return number }
                } catch {
                    // It starts anew, from the newest checkpoint.
                    await Task.yield()
                }
            }
            await Task.yield()
        }
    }
}
