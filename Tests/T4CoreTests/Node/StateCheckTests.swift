import Foundation
import Logging
import Synchronization
import T4BuiltIns
import T4Protocols
import Testing

@testable import T4Core

/// Goal: an engine whose rows are not what they must be is found, and its node takes no writes until somebody disarms the
/// alarm. Method: a row of a real engine is changed behind the node's back.
struct StateCheckTests {
    private static let key = Array("k3")

    /// Changes a byte of a value on disk, as a disk may.
    private static func damage(_ engine: any LocalEngine) throws {
        let name = Keyspace.currentKey(key)
        var row: [UInt8] = []
        _ = try engine.snapshot().read(name) { row = $0.copyBytes() }
        row[row.count - 1] ^= 1
        var batch = WriteBatch()
        batch.put(name, row)
        try engine.apply(batch, at: engine.appliedPosition)
    }

    private func put(_ node: Node, _ text: String) async throws {
        try await node.put(PutRequest(key: Array(text), value: Array("value")))
    }

    /// A node without a store: nothing else looks at all its rows.
    private func open(
        _ directory: String, _ engine: String, _ lines: Monitor<[String]>, checks: Bool = true
    ) throws -> Node {
        var configuration = NodeConfiguration(dataDirectory: directory, engine: engine)
        configuration.corruptCheckInterval = checks ? .seconds(86_400) : nil
        let logger = Logger(label: "test") { _ in CollectedLog(lines, level: .warning) }
        return try Node(configuration, registry: .builtIn, logger: logger, clock: .system)
    }

    private func waitForAlarm(_ lines: Monitor<[String]>) async throws {
        try await onThread {
            lines.wait { lines in lines.contains { $0.hasPrefix("an alarm was raised") } ? () : nil }
        }
    }

    @Test(
        .timeLimit(.minutes(10)), arguments: BackendRegistry.builtIn.engineNames.filter { $0 != "memory" })
    func damageRaisesTheAlarm(_ engine: String) async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "t4-damage-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let first = try open(directory, engine, Monitor([]), checks: false)
        for number in 0..<10 { try await put(first, "k\(number)") }
        try Self.damage(first.engine)
        #expect(try first.alarms().isEmpty)
        try first.stopAndWait()

        for _ in 0..<2 {
            let lines = Monitor<[String]>([])
            let node = try open(directory, engine, lines)
            try await waitForAlarm(lines)
            let alarm = Alarm(.corrupt, member: node.memberID)
            #expect(try node.alarms() == [alarm])
            let said = lines.withLock { $0 }
            #expect(
                said.contains { line in
                    line.contains("the rows of the engine are damaged")
                        && line.contains("do not add up to their digest: 10 keys with the sum")
                }, "\(said)")
            let refusal = await #expect(throws: DatabaseError.self) { try await put(node, "k3") }
            #expect(refusal?.code == .corrupt)
            #expect(try node.range(RangeRequest(key: Array("k1"))).kvs.map(\.text) == ["k1=value"])
            #expect(try await node.disarm(alarm))
            try await put(node, "k1")
            try node.stopAndWait()
            // The next start looks again.
        }
    }

    @Test func checksComeAtTheirTimes() async throws {
        let test = try TestNode()
        for number in 0..<5 { try await put(test.node, "k\(number)") }
        let (clock, stage, engine) = (ManualClock(), test.node.stage, test.node.engine)
        let looks = Monitor(0)
        let found = Monitor<[String]>([])
        let check = StateCheck(
            every: .seconds(60), clock: clock, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            look: {
                looks.withLock { $0 += 1 }
                return try stage.look()
            }, onDamage: { damage in found.withLock { $0.append(damage.what) } })
        func expect(_ counts: (looks: Int, found: Int), at location: SourceLocation = #_sourceLocation) async throws {
            try await onThread { _ = check.step() }
            #expect(looks.withLock { $0 } == counts.looks, sourceLocation: location)
            #expect(found.withLock { $0.count } == counts.found, sourceLocation: location)
        }
        try await expect((1, 0))
        clock.advance(by: .seconds(59))
        try await expect((1, 0))
        try Self.damage(engine)
        try await expect((1, 0))
        clock.advance(by: .seconds(1))
        try await expect((2, 1))
        #expect(found.withLock { $0 }[0].contains("5 keys with the sum"))
        try await expect((2, 1))
        clock.advance(by: .seconds(60))
        try await expect((3, 2))
        check.stop()
        clock.advance(by: .seconds(60))
        try await expect((4, 2))
    }
}
