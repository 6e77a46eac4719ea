/// Everything that is wrong with a configuration, found in one go.
public struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// One thing that is wrong.
    public struct Problem: Hashable, Sendable, CustomStringConvertible {
        /// Where the value comes from.
        public var location: Location
        /// The setting's full key, `node.data_dir` for instance; nil when the problem is not about one.
        public var key: String?
        /// What is wrong.
        public var reason: String
        /// What to do about it, where that is not obvious.
        public var hint: String?

        init(at location: Location, key: String? = nil, reason: String, hint: String? = nil) {
            self.location = location
            self.key = key
            self.reason = reason
            self.hint = hint
        }

        /// One line: `t4.toml:3:1: node.data_dri: unknown key; did you mean "data_dir"?`.
        public var description: String {
            let place = "\(location)"
            return [place.isEmpty ? nil : place, key, hint.map { "\(reason); \($0)" } ?? reason]
                .compactMap { $0 }.joined(separator: ": ")
        }
    }

    /// Where a value comes from.
    public enum Location: Hashable, Sendable, CustomStringConvertible {
        /// A TOML file; lines and columns count from 1 and are nil where the problem has no single place.
        case file(String, line: Int?, column: Int?)
        /// An environment variable.
        case environment(String)
        /// A flag of the command line, without its dashes.
        case flag(String)
        /// A word of the command line that is no flag.
        case argument
        /// Nowhere in particular: a default, or several values together.
        case none

        /// `t4.toml:3:1`, `T4_LISTEN`, `--listen`, or nothing.
        public var description: String {
            switch self {
            case .file(let name, let line, let column):
                [name, line.map(String.init), column.map(String.init)].compactMap { $0 }.joined(separator: ":")
            case .environment(let name): name
            case .flag(let name): "--\(name)"
            case .argument, .none: ""
            }
        }
    }

    /// What is wrong, at least one.
    public let problems: [Problem]

    init(_ problem: Problem) { problems = [problem] }

    /// - Precondition: `problems` is not empty.
    init(_ problems: [Problem]) {
        precondition(!problems.isEmpty, "an error without a problem")
        self.problems = problems
    }

    /// One line for each problem.
    public var description: String { problems.map(\.description).joined(separator: "\n") }
}
