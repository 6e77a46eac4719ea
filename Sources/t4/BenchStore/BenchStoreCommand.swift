import ArgumentParser
import Foundation
import Logging
import T4BuiltIns
import T4Config

/// `t4 bench-store`: measures what surrounds the object store, with nodes in this process.
struct BenchStoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench-store",
        abstract: "Measure checkpoints, restores, durability in an object store and its collection.",
        discussion: """
            Runs nodes in this process, on stores in folders and in memory below --dir, and removes what it wrote. \
            Parts: checkpoint, restore, durability, collection, history. docs/benchmarks.md says what the figures mean.
            """)

    @Option(help: "A directory on the disk to measure; new or empty.")
    var dir: String

    @Option(help: "Parts, with commas between them.")
    var parts = StoreBenchPart.allCases.map(\.rawValue).joined(separator: ",")

    @Option(help: "The engine of the nodes.")
    var engine = "lmdb"

    @Option(help: "checkpoint, restore: number of keys.")
    var keys = 1_000_000

    @Option(help: "Bytes of a value.")
    var valueSize = 300

    @Option(help: "checkpoint: random updates before the checkpoint that is measured.")
    var updates = 10_000

    @Option(help: "checkpoint, restore: repetitions; the figures are medians.")
    var rounds = 3

    @Option(help: "durability: milliseconds that the store takes longer for each call.")
    var delay = 20

    @Option(help: "checkpoint, durability: seconds of each load.")
    var duration = 5.0

    @Option(help: "collection: number of objects.")
    var objects = 100_000

    @Option(help: "history: writes a second.")
    var rate = 500

    @Option(help: "history: seconds of writing; checkpoints are made four times in it.")
    var seconds = 60.0

    @Flag(help: "Print JSON.")
    var json = false

    @Flag(help: "Exit with code 1 if a goal is missed.")
    var requireGoals = false

    func validate() throws {
        _ = try parsedParts()
        for (name, value, range) in [
            ("--keys", keys, 1...100_000_000), ("--value-size", valueSize, 8...1_000_000),
            ("--updates", updates, 1...10_000_000), ("--rounds", rounds, 1...100), ("--delay", delay, 0...60_000),
            ("--objects", objects, 1...10_000_000), ("--rate", rate, 1...1_000_000),
        ] where !range.contains(value) {
            throw ValidationError("\(name) must be \(range.lowerBound) to \(range.upperBound)")
        }
        for (name, value) in [("--duration", duration), ("--seconds", seconds)] where !(0.01...86_400).contains(value) {
            throw ValidationError("\(name) must be 0.01 to 86400")
        }
    }

    func run() async throws {
        do {
            let report = try await measure()
            StandardOutput.writeLine(json ? try JSONText.of(report) : report.table)
            if requireGoals, report.missesGoals { throw CommandFailure(description: "a goal was missed") }
        } catch {
            throw fail(error)
        }
    }

    private func measure() async throws -> StoreBenchReport {
        let parts = try parsedParts()
        try FileManager.default.createDirectory(atPath: dir, withIntermediateDirectories: true)
        guard try FileManager.default.contentsOfDirectory(atPath: dir).isEmpty else {
            throw CommandFailure(description: "\(dir) is not empty")
        }
        let bench = StoreBench(
            settings: StoreBench.Settings(
                directory: dir, engine: engine, keys: keys, valueSize: valueSize, updates: updates, rounds: rounds,
                delay: .milliseconds(delay), duration: .seconds(duration), objects: objects, rate: rate,
                span: .seconds(seconds)),
            logger: Logger(label: "t4") { LineLogHandler(label: $0, level: .warning, format: .text) })
        var report = StoreBenchReport()
        if parts.contains(.checkpoint) || parts.contains(.restore) {
            try await bench.measureCheckpoint(parts, &report)
        }
        if parts.contains(.durability) { try await bench.measureDurability(&report) }
        if parts.contains(.collection) { try await bench.measureCollection(&report) }
        if parts.contains(.history) { try await bench.measureHistory(&report) }
        return report
    }

    private func parsedParts() throws -> Set<StoreBenchPart> {
        let parsed = try parts.split(separator: ",").map { name in
            guard let part = StoreBenchPart(rawValue: String(name)) else {
                throw ValidationError("there is no part '\(name)'; see t4 bench-store --help")
            }
            return part
        }
        if parsed.isEmpty { throw ValidationError("--parts names none") }
        return Set(parsed)
    }
}
