import RPC
import Testing

extension FaultyCluster {
    /// Each of some nodes acknowledges writes, and each of them reads what was written last.
    func expectProgress(at nodes: [Int], _ what: String) async throws {
        for round in 0..<3 {
            for node in nodes {
                let value = "\(what) \(round) \(node)"
                let revision = try await write(value, at: node)
                for reader in nodes {
                    let (found, seen) = try await read(at: reader)
                    // A write whose answer was lost may be done later.
                    #expect(seen >= revision, "\(what): node \(reader) at \(seen), not \(revision)")
                    #expect(found == value || seen > revision, "\(what): node \(reader)")
                }
            }
        }
    }

    /// None of some nodes answers a linearizable read or acknowledges a write.
    func expectSilence(of nodes: [Int], _ what: String) async {
        await withTaskGroup(of: Void.self) { group in
            for node in nodes {
                group.addTask {
                    await #expect(throws: (any Error).self, "\(what): node \(node) read") {
                        try await self.connected(to: node, for: .seconds(2)) { _ = try await $0.row("value") }
                    }
                }
                group.addTask {
                    await #expect(throws: (any Error).self, "\(what): node \(node) wrote") {
                        try await self.connected(to: node, for: .seconds(2)) { _ = try await $0.put("other", what) }
                    }
                }
            }
        }
    }

    /// Writes until that is acknowledged: who leads may change meanwhile.
    private func write(_ value: String, at node: Int) async throws -> Int64 {
        while true {
            do {
                return try await connected(to: node, for: .seconds(10)) { try await $0.put("value", value) }
            } catch is RPCStatus {
                await pause(.milliseconds(50))
            }
        }
    }

    private func read(at node: Int) async throws -> (value: String?, revision: Int64) {
        while true {
            do {
                return try await connected(to: node, for: .seconds(10)) { client in
                    let (row, _) = try await client.row("value")
                    return (row?.value, row?.revision ?? 0)
                }
            } catch is RPCStatus {
                await pause(.milliseconds(50))
            }
        }
    }

    func connected<Result>(
        to node: Int, for patience: Duration, _ body: (EtcdClient) async throws -> Result
    ) async throws -> Result {
        let client = try await EtcdClient.connect(to: cluster.node(node), patience: patience)
        do {
            let result = try await body(client)
            await client.close()
            return result
        } catch {
            await client.close()
            throw error
        }
    }
}
