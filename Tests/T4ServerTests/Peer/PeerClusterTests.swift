import Foundation
import Logging
import RPC
import Synchronization
import T4BuiltIns
import T4Conformance
import T4Protocols
import TestCertificates
import Testing

@testable import T4Core
@testable import T4Server

/// Goal: nodes replicate over real connections, with and without TLS. Method: whole nodes, which meet through their ports.
@Suite(.serialized) struct PeerClusterTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func makeStore() async throws -> any ObjectStore {
        try await BackendRegistry.builtIn.makeStore(
            "memory", settings: NoSettings(), context: StoreContext(dataDirectory: "/nonexistent", logger: logger))
    }

    private func start(
        _ number: Int, in folder: URL, _ store: any ObjectStore, _ election: StoreElection, _ tls: PeerTLS?
    ) async throws -> Node {
        var configuration = NodeConfiguration(
            dataDirectory: folder.appending(path: "\(number)").path, engine: "memory")
        configuration.store = NodeStore(.opened(store), prefix: "db/")
        configuration.name = "n\(number)"
        configuration.log.recentSizeMax = 1 << 20
        var settings = PeerCluster.Settings(listenHost: "127.0.0.1", listenPort: 0)
        settings.tls = tls
        configuration.cluster = NodeCluster(
            election: election, durability: .replicated, connect: PeerCluster(settings, logger: logger).connect)
        let (final, logger) = (configuration, logger)
        return try await SystemThread.run("start") {
            try Node(final, registry: .builtIn, logger: logger, clock: .system, store: store)
        }
    }

    /// Writes through whichever node leads.
    @discardableResult
    private func write(_ value: String, _ nodes: [Node]) async throws -> Node {
        while true {
            for node in nodes {
                do throws(DatabaseError) {
                    _ = try await node.put(PutRequest(key: Array("key".utf8), value: Array(value.utf8)))
                    return node
                } catch {
                    guard [.noLeader, .outcomeUnknown].contains(error.code) else { throw error }
                }
            }
            await Task.yield()
        }
    }

    @Test(arguments: [false, true])
    func nodesReplicate(hasTLS: Bool) async throws {
        try await TestCertificates.with { files in
            let store = try await makeStore()
            let folder = FileManager.default.temporaryDirectory.appending(path: "t4-peers-\(UUID().uuidString)")
            defer { #expect(throws: Never.self) { try FileManager.default.removeItem(at: folder) } }
            let election = try await StoreElection.open(store)
            var nodes: [Node] = []
            for number in 1...3 {
                var tls: PeerTLS?
                if hasTLS {
                    let pair = try await files.makePeer("n\(number)")
                    func file(_ path: String) -> CredentialFile { CredentialFile(setting: "peer_tls", path: path) }
                    tls = try PeerTLS(
                        certificate: file(pair.certificate), key: file(pair.key), authority: file(files.authority()),
                        logger: logger)
                }
                nodes.append(try await start(number, in: folder, store, election, tls))
            }
            for count in 0..<30 { try await write("\(count)", nodes) }
            let leader = try await write("last", nodes)
            let revision = leader.revision
            while !nodes.allSatisfy({ $0.revision >= revision }) { await Task.yield() }
            for node in nodes {
                let found = try node.range(RangeRequest(key: Array("key".utf8))).kvs.first?.value
                #expect(found == Array("last".utf8))
            }
            // Another one goes on.
            try await leader.stop()
            nodes.removeAll { $0 === leader }
            try await write("without it", nodes)
            for node in nodes { try await node.stop() }
        }
    }
}
