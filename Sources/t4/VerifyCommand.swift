import ArgumentParser
import Glibc
import T4Core
import T4Protocols

/// `t4 verify`: reads everything of a database in its object store and checks it.
struct VerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Verify every object of the database in the object store.",
        discussion: """
            Reads all objects and changes nothing, also beside a running node. Whatever is damaged is named, and the rest \
            is verified all the same. What lies there without belonging to the database is mentioned.

            Exit codes: 0 when nothing is wrong, 1 when something is or the store cannot be read, 64 when the command line \
            or the configuration is wrong.
            """)

    @OptionGroup var options: StoreOptions

    @Flag(help: "Also add up the rows of every checkpoint, and what the log makes of it up to the next one.")
    var deep = false

    @Flag(help: "With --deep: add up the newest checkpoint only.")
    var latestOnly = false

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        if latestOnly, !deep { throw ValidationError("--latest-only needs --deep") }
    }

    private struct Result: Sendable {
        var report: VerificationReport
        var store: String
    }

    func run() async throws {
        let result: Result
        do {
            let depth: StoreVerifier.Depth = deep ? latestOnly ? .newestState : .allStates : .objects
            let isShown = !json
            result = try await options.with { opened in
                let progress = VerifyProgress()
                if isShown { StandardOutput.writeLine("Verifying \(opened.displayName)\n") }
                let verifier = StoreVerifier(BlockingStore(opened.store), depth: depth) { prefix in
                    BlockingStore(opened.objects(below: prefix))
                } progress: {
                    progress.show($0)
                }
                defer { progress.clear() }
                return Result(report: try verifier.run(), store: opened.displayName)
            }
        } catch {
            throw fail(error)
        }
        StandardOutput.writeLine(
            json ? try JSONText.of(VerifyJSON(result.report, store: result.store)) : VerifyText.of(result.report))
        if !result.report.isClean { throw ExitCode.failure }
    }
}

/// The report for people.
private enum VerifyText {
    /// Notes that are printed; orphans may be many.
    private static let notesMax = 20

    private static let tablesHint = """
        hint: a node whose data directory is whole has the rows of these tables; start it once with --checkpoint-anew, which \
        writes a checkpoint with all tables anew
        """

    static func of(_ report: VerificationReport) -> String {
        let rows = VerificationReport.Kind.allCases.map { kind in
            let count = report.counts[kind, default: VerificationReport.Count()]
            return ["\(kind.rawValue):", "\(count.objects) object(s)", "\(count.bytes) bytes"]
        }
        var lines = [Table.columns(rows)]
        if let end = report.end { lines.append("The log ends with entry \(end.index), term \(end.term).") }
        if report.digests > 0 {
            lines.append(
                "Added up \(report.digests) checkpoint(s), and \(report.stretches) stretch(es) of the log between two.")
        }
        if !report.notes.isEmpty || !report.isClean { lines.append("") }
        lines += report.notes.prefix(notesMax).map { "note: \($0.object): \($0.what)" }
        if report.notes.count > notesMax {
            lines.append("note: and \(report.notes.count - notesMax) more; --json has all")
        }
        lines += report.later.map { "NOT VERIFIED: \($0.object): \($0.what)" }
        lines += report.problems.map { "DAMAGED: \($0.object): \($0.what)" }
        if report.problems.contains(where: { $0.object.contains(StoreLayout.tables.rawValue) }) {
            lines.append(tablesHint)
        }
        lines.append("")
        if !report.later.isEmpty {
            lines.append(
                "\(report.later.count) object(s) of a later version of t4 are not damaged: verify with that version")
        }
        if report.isClean {
            lines.append("Nothing is wrong")
        } else if !report.problems.isEmpty {
            lines.append("Found \(report.problems.count) problem(s)")
        }
        return lines.joined(separator: "\n")
    }
}

/// The report for programs.
private struct VerifyJSON: Encodable {
    struct Count: Encodable {
        var objects: Int
        var bytes: UInt64
    }

    struct Finding: Encodable {
        var object: String
        var what: String
    }

    var store: String
    var clean: Bool
    var objects: [String: Count]
    var term: UInt64?
    var last_index: UInt64?
    var checkpoints_added_up: Int
    var log_stretches_compared: Int
    var problems: [Finding]
    var later_versions: [Finding]
    var notes: [Finding]

    init(_ report: VerificationReport, store: String) {
        self.store = store
        clean = report.isClean
        objects = Dictionary(
            uniqueKeysWithValues: VerificationReport.Kind.allCases.map { kind in
                let count = report.counts[kind, default: VerificationReport.Count()]
                return (kind.rawValue, Count(objects: count.objects, bytes: count.bytes))
            })
        (term, last_index) = (report.end?.term, report.end?.index)
        (checkpoints_added_up, log_stretches_compared) = (report.digests, report.stretches)
        problems = report.problems.map { Finding(object: $0.object, what: $0.what) }
        later_versions = report.later.map { Finding(object: $0.object, what: $0.what) }
        notes = report.notes.map { Finding(object: $0.object, what: $0.what) }
    }
}

/// A line on a terminal that says how far the work is.
private struct VerifyProgress: Sendable {
    private let isTerminal = isatty(2) == 1

    func show(_ step: StoreVerifier.Progress) {
        if isTerminal { StandardError.write("\r\u{1B}[K\(step.what): \(step.done) of \(step.all)") }
    }

    func clear() {
        if isTerminal { StandardError.write("\r\u{1B}[K") }
    }
}
