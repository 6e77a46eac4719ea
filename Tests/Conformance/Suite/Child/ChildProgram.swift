import Foundation

/// A program that plays the child of the rules that kill, stop or starve a process.
///
/// Its `main` calls `EngineChild.runIfStarted` with the same engine before anything else. It may be the program that
/// runs the suite itself.
public struct ChildProgram: Hashable, Sendable {
    /// Path of the executable.
    public var executable: String
    /// Arguments it is started with.
    public var arguments: [String]

    /// Names a program.
    public init(executable: String, arguments: [String] = []) {
        self.executable = executable
        self.arguments = arguments
    }

    /// The running program itself, started with the arguments it has.
    public static var thisProgram: ChildProgram {
        ChildProgram(
            executable: Bundle.main.executablePath ?? CommandLine.arguments[0],
            arguments: Array(CommandLine.arguments.dropFirst()))
    }
}

/// What a child is to do; handed over in an environment variable.
enum ChildOrder: Codable, Equatable {
    static let variable = "T4_CONFORMANCE_CHILD"

    /// Apply batches of the workload, from where the engine is, with a sync after every 16th, until killed.
    case write(directory: String, Workload)
    /// Load this many rows.
    case load(directory: String, rows: Int)
    /// Apply batches 1 to `count`, sync, stop; go on with one more batch without a sync, stop again.
    case writeOneUnsynced(directory: String, Workload, count: UInt64)
    /// Apply batches until a limit on the size of files makes one fail, and see what is left.
    case fill(directory: String, Workload)
    /// Open each directory in turn and compare its content with the workload.
    case inspect(directories: [String], Workload)
}

/// One line that a child writes to its standard output.
struct ChildLine: Equatable {
    enum Word: String {
        /// The engine was opened at this index.
        case opened
        /// The batch with this index was applied.
        case applied
        /// A sync returned after this index.
        case synced
        /// The engine says that this index is durable.
        case durable
        /// A load has handed out this many rows.
        case loading
        /// An inspected directory holds the batches up to this index and nothing else.
        case whole
        /// Opening or reading an inspected directory threw; the text is the error.
        case refused
        /// An inspected directory shows rows that are not those of its position; the text says which.
        case wrong
        /// What was found breaks the rule; the text says how.
        case broken
        /// Everything was done and checked.
        case done
    }

    /// Tells our lines from what an engine may print.
    private static let mark = "t4-child"

    var word: Word
    var number: UInt64 = 0
    var message = ""

    init(_ word: Word, _ number: UInt64 = 0, message: String = "") {
        self.word = word
        self.number = number
        self.message = message
    }

    /// Reads a line; nil for one that is not a child's.
    init?(_ text: String) {
        let parts = text.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == Self.mark, let word = Word(rawValue: String(parts[1])),
            let number = UInt64(parts[2])
        else { return nil }
        self.init(word, number, message: String(parts[3]))
    }

    var text: String {
        "\(Self.mark) \(word.rawValue) \(number) \(message.split(whereSeparator: \.isNewline).joined(separator: " "))"
    }
}
