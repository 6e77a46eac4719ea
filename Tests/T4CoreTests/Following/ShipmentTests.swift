import Foundation
import Logging
import Synchronization
import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: a program has what the commands have. Method: two nodes of one program, the second one made of files of the first one.
@Suite struct ShipmentTests {
    /// A file that is gone with the test.
    private final class Sink: Sendable {
        let bytes = Mutex<[UInt8]>([])
        var output: Backup.Output { { piece in self.bytes.withLock { $0 += piece } } }

        func file() throws -> BackupFile {
            let path = FileManager.default.temporaryDirectory.appending(path: "t4-piece-\(UUID().uuidString)")
            try Data(bytes.withLock { $0 }).write(to: path)
            defer { unlink(path.path) }
            return try BackupFile(path.path)
        }
    }

    private struct Refusal: Error, Equatable {}

    @Test func aProgramShipsAndReplays() async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let primary = try await StoreNode(.local, engine: "lmdb")
        try await primary.start()
        for number in 0..<10 { try await primary.put("key\(number)", "a") }
        let backup = Sink()
        let made = try await primary.node.backup(to: backup.output)
        let copy = try await StoreNode(.local, engine: "rocksdb")
        _ = try await RestorePoint(backup.file()).restore(
            into: RestoreDestination(dataDirectory: copy.directory, engine: "rocksdb"), registry: .builtIn,
            logger: logger)
        for number in 0..<300 { try await primary.put("key\(number % 20)", "\(number)") }
        _ = try await primary.node.grantLease(id: 9, ttl: 100)
        let piece = Sink()
        let shipped = try await primary.node.ship(after: made.revision, to: piece.output)
        #expect(shipped.entryCount == 301 && shipped.revision == primary.node.revision)
        await #expect(throws: Refusal()) {
            _ = try await primary.node.ship(after: made.revision) { _ in throw Refusal() }
        }
        let replay = ShipmentReplay(dataDirectory: copy.directory, registry: .builtIn, logger: logger)
        let file = try piece.file()
        let report = try await onThread { try replay.run(file) }
        #expect(report.entryCount == 301 && report.end == shipped.end && report.healedCount == 0)
        // A piece that begins too late: from the store where that is named, and not at all where not.
        try await primary.node.checkpoint()
        let late = Sink()
        for number in 0..<10 { try await primary.put("late\(number)", "x") }
        let middle = primary.node.revision
        for number in 0..<10 { try await primary.put("latest\(number)", "x") }
        _ = try await primary.node.ship(after: middle, to: late.output)
        let lateFile = try late.file()
        await #expect {
            _ = try await onThread { try replay.run(lateFile) }
        } throws: {
            ($0 as? ReplayError)?.code == .gap
        }
        try await primary.stop()
        let source = RestorePoint(store: primary.base, prefix: "db/")
        let healed = try await onThread { try replay.run(lateFile, healingFrom: source) }
        #expect(healed.healedCount >= 9 && healed.revision.rawValue == middle.rawValue + 10)
        try await primary.start()
        try await copy.start()
        #expect(try copy.all() == primary.all() && copy.node.revision == primary.node.revision)
        #expect(try copy.node.read().leases() == primary.node.read().leases())
        try await copy.stop()
        try await primary.stop()
    }
}
