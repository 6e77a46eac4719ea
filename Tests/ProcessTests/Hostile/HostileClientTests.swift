import Foundation
import RawHTTP2
import T4Conformance
import Testing

/// Goal: whatever a client does, the others are served, memory stays within what docs/limits.md says, and the server
/// lives. Method: a t4 process on one event loop, several peers that attack it, a client beside them.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct HostileClientTests {
    /// Small limits, so that passing them is quick.
    private static let limits = ["--threads", "1", "--max-buffered-bytes", "32MiB", "--max-unread-bytes", "4MiB"]
    /// What docs/limits.md says of those: twice the buffered bytes. The rest is for what the server itself does meanwhile.
    private static let growthMax = 2 * (32 << 20) + (64 << 20)

    @Test(arguments: Attack.http2)
    func harmsNobody(_ attack: Attack) async throws { try await check(attack) }

    @Test(arguments: Attack.http1)
    func harmsNobodyOverHTTP1(_ attack: Attack) async throws { try await check(attack) }

    private func check(_ attack: Attack) async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let server = try await ServerUnderTest.start(
                    .t4(engine: "memory"), dataDirectory: folder.appending(path: "data"),
                    options: Self.limits + attack.options)
                let bystander = try await Bystander(server)
                try await bystander.goOn()
                let before = try ServerMemory(of: server.process).resident
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<attack.peers { group.addTask { try await attack.run(server.port) } }
                    try await bystander.goOn()
                    try await group.waitForAll()
                }
                try await bystander.goOn()
                let grown = try ServerMemory(of: server.process).peak - before
                #expect(grown < Self.growthMax, "\(grown >> 20) MiB more than before")
                try await bystander.stop()
                #expect(try await server.stop() == .code(0))
                let said = server.process.errors.value.description
                // A flood of clients is no flood of messages.
                #expect(said.split(separator: "a client was cut off or refused").count <= 100)
            }
        }
    }
}
