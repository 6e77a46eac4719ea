import Foundation

/// The requests of one file in `Requests`, see the README there.
struct RequestTable: CustomStringConvertible {
    struct Request: Sendable {
        var line = 0
        var method = ""
        var path = ""
        var body: String?
        var headers: [(name: String, value: String)] = []
        /// Whose token it is sent with, and what stands before the token.
        var user: (name: String, prefix: String)?
        /// Lines to read of an answer that does not end; nil for all of one that does.
        var lineCount: Int?

        var text: String { "\(method) \(path) \(body ?? "")" }
    }

    enum Step: Sendable {
        case request(Request)
        case login(user: String, password: String)
        case raw(WebStep, line: Int)
    }

    static let folder = TestEnvironment.root.appending(path: "Tests/ProcessTests/Gateway/Requests")

    static let names: [String] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return files.filter { $0.hasSuffix(".requests") }.sorted()
    }()

    let description: String
    private(set) var steps: [Step] = []

    init(named name: String) throws {
        try self.init(name, String(contentsOf: Self.folder.appending(path: name), encoding: .utf8))
    }

    /// The same with fewer requests.
    func filtered(_ isWanted: (Request) -> Bool) -> RequestTable {
        var table = self
        table.steps.removeAll { if case .request(let request) = $0 { !isWanted(request) } else { false } }
        return table
    }

    /// Reads a file's text.
    init(_ name: String, _ text: String) throws {
        description = name
        var request = Request()
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            guard !line.isEmpty, !line.hasPrefix("#") else { continue }
            let words = line.split(separator: " ", maxSplits: 1).map(String.init)
            switch words[0] {
            case "LOGIN":
                let parts = words[1].split(separator: " ")
                steps.append(.login(user: String(parts[0]), password: String(parts[1])))
            case "RAW": steps.append(.raw(try WebStep(line.dropFirst("RAW ".count)), line: index + 1))
            case "AS":
                let parts = words[1].split(separator: " ")
                request.user = (String(parts[parts.count - 1]), parts.count > 1 ? "\(parts[0]) " : "")
            case "WITH":
                let parts = words[1].split(separator: ":", maxSplits: 1)
                request.headers.append((String(parts[0]), parts[1].trimmingCharacters(in: .whitespaces)))
            default:
                var rest = line
                if words[0] == "STREAM" {
                    let parts = line.split(separator: " ", maxSplits: 2)
                    request.lineCount = Int(parts[1])
                    rest = parts[2]
                }
                let parts = rest.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
                request.line = index + 1
                request.method = String(parts[0])
                request.path = String(parts[1])
                request.body = parts.count > 2 ? String(parts[2]) : nil
                steps.append(.request(request))
                request = Request()
            }
        }
    }
}

extension RequestTable.Step: CustomStringConvertible {
    /// The line of a table that it is read from.
    var description: String {
        switch self {
        case .request(let request): request.text
        case .login(let user, let password): "LOGIN \(user) \(password)"
        case .raw(let step, _): "RAW \(step)"
        }
    }
}
