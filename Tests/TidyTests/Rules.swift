import Testing

/// A rule of this repository that neither the compiler nor the formatter can see.
struct Rule: Sendable, CustomTestStringConvertible {
    /// What the rule wants, in one sentence.
    var name: String
    /// Top folders it is about.
    var folders: [String]
    /// A file that breaks the rule, to prove that the check can fail.
    var broken: SourceFile
    /// A file that keeps it although it looks alike.
    var kept: SourceFile
    /// Finds what breaks the rule in one file.
    var check: @Sendable (SourceFile) -> [Finding]

    var testDescription: String { name }

    static let all = [
        importDirection, noPrint, noSleep, clockInOnePlace, noSwallowedError, noUnfinishedWork, shortFiles,
        noDeveloperPaths,
    ]
}

extension Rule {
    static let importDirection = Rule(
        name: "modules import only what lies below them",
        folders: ["Sources", "Tests"],
        broken: SourceFile(path: "Sources/T4Core/Node.swift", text: "import LMDBEngine\n"),
        kept: SourceFile(path: "Sources/T4BuiltIns/Registry.swift", text: "internal import LMDBEngine\n"),
        check: { file in
            guard let allowed = allowedImports(inFile: file) else {
                return [Finding(path: file.path, line: 1, reason: "belongs to no module that the rules know")]
            }
            return findings(in: file) { line in
                guard let imported = importedModule(line), ownModules.contains(imported), !allowed.contains(imported)
                else { return nil }
                return "must not import \(imported); it may import \(allowed.sorted().joined(separator: ", "))"
            }
        })

    static let noPrint = Rule(
        name: "only the command prints",
        folders: ["Sources"],
        broken: SourceFile(path: "Sources/T4Core/Node.swift", text: "func f() { print(1) }\n"),
        kept: SourceFile(path: "Sources/t4/Main.swift", text: "func f() { print(1) }\n"),
        check: { file in
            file.path.hasPrefix("Sources/t4/") || isGenerated(file)
                ? [] : findings(in: file, calling: ["print", "debugPrint"], "log with the handed-in logger")
        })

    static let noSleep = Rule(
        name: "nothing sleeps to wait for something",
        folders: ["Sources", "Tests"],
        broken: SourceFile(path: "Tests/T4CoreTests/A.swift", text: "try await Task.sleep(for: .seconds(1))\n"),
        kept: SourceFile(path: "Tests/T4CoreTests/A.swift", text: "// Task.sleep(for:)\nnode.putToSleep()\n"),
        check: { file in
            findings(
                in: file, calling: ["sleep", "usleep", "nanosleep", "clock_nanosleep"],
                "wait for what should happen: a condition variable, a continuation, a pipe")
        })

    static let clockInOnePlace = Rule(
        name: "the wall clock is read in files named *Clock*.swift only",
        folders: ["Sources"],
        broken: SourceFile(path: "Sources/T4Core/Node.swift", text: "let now = Date()\n"),
        kept: SourceFile(path: "Sources/T4Core/SystemClock.swift", text: "clock_gettime(CLOCK_REALTIME, &now)\n"),
        check: { file in
            guard !file.name.contains("Clock"), !isGenerated(file) else { return [] }
            let calls = findings(in: file, calling: ["Date", "gettimeofday"], "take the clock as a parameter")
            return calls
                + findings(in: file) { line in
                    line.contains("CLOCK_REALTIME") || line.contains("Date.now")
                        ? "take the clock as a parameter" : nil
                }
        })

    static let noSwallowedError = Rule(
        name: "no error is swallowed by `try?`",
        folders: ["Sources"],
        broken: SourceFile(path: "Sources/T4Core/Node.swift", text: "let x = try? f()\n"),
        kept: SourceFile(path: "Sources/T4Core/Node.swift", text: "let x: Entry? = try f() // try? no\n"),
        check: { file in
            isGenerated(file)
                ? []
                : findings(in: file) { line in
                    contains(line, word: "try", before: "?") ? "handle the error, or say why none matters" : nil
                }
        })

    static let noUnfinishedWork = Rule(
        name: "nothing is left as a note to finish later",
        folders: ["Sources", "Tests", "Examples", "Benchmarks"],
        broken: SourceFile(path: "Sources/T4Core/Node.swift", text: "// " + "TO" + "DO: later\n"),
        kept: SourceFile(path: "Sources/T4Core/Node.swift", text: "let METHODO = 1\n"),
        check: { file in
            guard !isGenerated(file) else { return [] }
            return findings(inLines: file) { line in
                unfinishedMarks.contains { contains(line, word: $0) } ? "finish it, or write an issue" : nil
            }
        })

    static let shortFiles = Rule(
        name: "no file is longer than 500 lines",
        folders: ["Sources", "Tests", "Examples", "Benchmarks"],
        broken: SourceFile(path: "Sources/T4Core/Node.swift", text: String(repeating: "//\n", count: 501)),
        kept: SourceFile(path: "Sources/EtcdAPI/rpc.pb.swift", text: String(repeating: "//\n", count: 501)),
        check: { file in
            let count = file.lines.count - (file.lines.last == "" ? 1 : 0)
            return count <= 500 || isGenerated(file)
                ? [] : [Finding(path: file.path, line: count, reason: "\(count) lines; split it by concept")]
        })

    static let noDeveloperPaths = Rule(
        name: "no path of a developer's machine is named",
        folders: ["Sources", "Tests", "Examples", "Benchmarks"],
        broken: SourceFile(path: "Tests/T4CoreTests/A.swift", text: "let root = \"/" + "home/me/t4\"\n"),
        kept: SourceFile(path: "Tests/T4CoreTests/A.swift", text: "let root = \"/var/lib/t4/homework/\"\n"),
        check: { file in
            findings(inLines: file) { line in
                developerPaths.contains { line.contains($0) } ? "name it relative to the repository" : nil
            }
        })
}

// MARK: - What the rules know

/// For each module of ours, those of ours that it may import.
private let allowedImports: [String: Set<String>] = [
    "T4Protocols": [],
    "CLMDB": [], "CRocksDB": [], "CLevelDB": [], "CCurl": [], "CNGHTTP2": [], "COpenSSL": [], "CCrypt": [],
    "MemoryEngine": ["T4Protocols"],
    "WriteBehindEngine": ["T4Protocols", "MemoryEngine"],
    "LMDBEngine": ["T4Protocols", "CLMDB"],
    "RocksDBEngine": ["T4Protocols", "CRocksDB"],
    "LevelDBEngine": ["T4Protocols", "CLevelDB"],
    "MemoryStore": ["T4Protocols"],
    "FilesystemStore": ["T4Protocols"],
    "S3Store": ["T4Protocols", "CCurl", "COpenSSL"],
    "T4Core": ["T4Protocols", "COpenSSL"],
    "T4Config": ["T4Protocols", "T4Core"],
    "T4BuiltIns": [
        "T4Protocols", "T4Core", "MemoryEngine", "WriteBehindEngine", "LMDBEngine", "RocksDBEngine", "LevelDBEngine",
        "MemoryStore", "FilesystemStore", "S3Store",
    ],
    "EtcdAPI": [],
    "RPC": ["CNGHTTP2"],
    "T4Server": ["T4Core", "T4Protocols", "RPC", "EtcdAPI", "CCrypt", "COpenSSL"],
    "t4": ["T4Server", "T4Core", "T4Protocols", "T4Config", "T4BuiltIns", "T4Conformance", "RPC"],
    "T4Conformance": ["T4Protocols"],
    "S3StoreTests": ["S3Store", "T4Conformance", "T4Core", "T4Protocols", "COpenSSL"],
]

private let ownModules = Set(allowedImports.keys)
private let backends: Set = [
    "MemoryEngine", "LMDBEngine", "RocksDBEngine", "LevelDBEngine", "MemoryStore", "FilesystemStore", "S3Store",
    "CLMDB",
    "CRocksDB", "CLevelDB", "CCurl",
]

/// Modules whose folder is not `Sources/NAME`.
private let foldersOfModules = [
    "Sources/Backends/Memory/": "MemoryEngine",
    "Sources/Backends/WriteBehind/": "WriteBehindEngine",
    "Sources/Backends/LMDB/": "LMDBEngine",
    "Sources/Backends/RocksDB/": "RocksDBEngine",
    "Sources/Backends/LevelDB/": "LevelDBEngine",
    "Sources/ObjectStores/Memory/": "MemoryStore",
    "Sources/ObjectStores/Filesystem/": "FilesystemStore",
    "Sources/ObjectStores/S3/": "S3Store",
    "Tests/Conformance/Suite/": "T4Conformance",
    // Signatures, answers and refusals that no client of the store can see.
    "Tests/S3StoreTests/": "S3StoreTests",
]

// Put together from parts, so that this file does not break its own rules.
private let unfinishedMarks = ["TO" + "DO", "FIX" + "ME", "X" + "XX"]
private let developerPaths = ["/" + "work/", "/" + "home/", "/" + "Users/"]

private func isGenerated(_ file: SourceFile) -> Bool { file.path.hasPrefix("Sources/EtcdAPI/") }

/// What a file may import of our own modules; nil when its folder belongs to no module that the rules know.
///
/// Tests may import anything but a backend: they reach those through `T4BuiltIns`, as the command does.
private func allowedImports(inFile file: SourceFile) -> Set<String>? {
    if let special = foldersOfModules.first(where: { file.path.hasPrefix($0.key) }) {
        return allowedImports[special.value]
    }
    let parts = file.path.split(separator: "/")
    guard parts.count > 2, parts[0] == "Sources" else { return ownModules.subtracting(backends) }
    return allowedImports[String(parts[1])]
}

/// The module that a line imports; nil for any other line.
func importedModule(_ line: String) -> String? {
    var words = line.split(whereSeparator: \.isWhitespace)
    while let first = words.first, first.hasPrefix("@") || importModifiers.contains(String(first)) {
        words.removeFirst()
    }
    guard words.first == "import", words.count > 1 else { return nil }
    words.removeFirst()
    if words.count > 1, importKinds.contains(String(words[0])) { words.removeFirst() }
    return words[0].split(separator: ".").first.map(String.init)
}

private let importModifiers: Set = ["public", "package", "internal", "fileprivate", "private"]
private let importKinds: Set = ["struct", "class", "enum", "protocol", "typealias", "func", "let", "var"]

// MARK: - Helpers of the checks

private func findings(in file: SourceFile, _ reason: (String) -> String?) -> [Finding] {
    findings(file.path, file.code, reason)
}

private func findings(inLines file: SourceFile, _ reason: (String) -> String?) -> [Finding] {
    findings(file.path, file.lines, reason)
}

private func findings(_ path: String, _ lines: [String], _ reason: (String) -> String?) -> [Finding] {
    lines.enumerated().compactMap { number, line in
        reason(line).map { Finding(path: path, line: number + 1, reason: $0) }
    }
}

/// Calls of functions or initializers of these names, wherever they are declared; declarations do not count.
private func findings(in file: SourceFile, calling names: [String], _ reason: String) -> [Finding] {
    findings(in: file) { line in
        names.contains { contains(line, word: $0, before: "(") && !contains(line, word: "func \($0)") }
            ? reason : nil
    }
}

/// True when the line holds `word` with no letter, digit or underscore on either side and `next` right behind it.
private func contains(_ line: String, word: String, before next: String = "") -> Bool {
    line.ranges(of: word + next).contains { range in
        let before = range.lowerBound == line.startIndex ? nil : line[line.index(before: range.lowerBound)]
        let after = !next.isEmpty || range.upperBound == line.endIndex ? nil : line[range.upperBound]
        return !isPartOfName(before) && !isPartOfName(after)
    }
}

private func isPartOfName(_ character: Character?) -> Bool {
    character.map { $0.isLetter || $0.isNumber || $0 == "_" } ?? false
}
