import Foundation
public import T4Protocols

extension Configuration {
    /// Reads a configuration: flag before environment before file before default, for every setting.
    ///
    /// - Parameters:
    ///   - file: The TOML file; nil for none.
    ///   - environment: Environment variables; those that do not start with `T4_` are ignored, and so are empty ones
    ///     but for settings that are never empty, where they are an error.
    ///   - flags: Values by flag name without dashes, as `parseFlags` gives them.
    ///   - registry: The backends that can be chosen. The settings of each engine that it knows are read as the engine
    ///     itself would, and nothing is opened. Nil leaves that to whoever opens the engine.
    ///   - hostName: Gives the name for the node when none is set; nil asks the machine.
    /// - Throws: Everything that is wrong: the file cannot be read, syntax, unknown keys and flags, wrong types, values
    ///   out of range, values that do not go together, an unknown engine.
    public static func load(
        file: String?, environment: [String: String], flags: [String: String] = [:],
        registry: BackendRegistry? = nil, hostName: (() -> String)? = nil
    ) throws(ConfigurationError) -> Configuration {
        var loader = Loader(environment: environment, flags: flags, registry: registry)
        if let file { loader.document = try TOMLDocument(file: file, text: contents(of: file)) }
        return try loader.load(hostName: hostName ?? { ProcessInfo.processInfo.hostName })
    }

    private static func contents(of file: String) throws(ConfigurationError) -> String {
        func failure(_ reason: String) -> ConfigurationError {
            ConfigurationError(.init(at: .file(file, line: nil, column: nil), reason: reason))
        }
        let data: Data
        do {
            data = try Data(contentsOf: URL(filePath: file))
        } catch let error as CocoaError where error.code == .fileReadNoSuchFile {
            throw failure("there is no such file")
        } catch let error as CocoaError where error.code == .fileReadNoPermission {
            throw failure("no permission to read the file")
        } catch {
            throw failure("the file cannot be read: \(error.localizedDescription)")
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw ConfigurationError(notUTF8(file, data))
        }
        return text
    }

    private static func notUTF8(_ file: String, _ data: Data) -> ConfigurationError.Problem {
        if data.starts(with: [0xFF, 0xFE]) || data.starts(with: [0xFE, 0xFF]) {
            return .init(
                at: .file(file, line: 1, column: 1), reason: "the file is UTF-16 text", hint: "save it as UTF-8")
        }
        let lines = data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let line = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0
        // Decoding puts a replacement character in the place of the first byte that is wrong.
        let column = String(decoding: lines[line], as: UTF8.self).unicodeScalars.prefix { $0 != "\u{FFFD}" }.count + 1
        return .init(
            at: .file(file, line: line + 1, column: column), reason: "the file is not UTF-8 text",
            hint: "save it as UTF-8")
    }
}

extension TOMLDocument {
    /// The value of a key; nil when it, or a table above it, is missing.
    func node(at path: [String]) -> TOMLNode? {
        var node = TOMLNode.table(root)
        for part in path {
            guard case .table(let table) = node, let next = table[part] else { return nil }
            node = next
        }
        return node
    }
}
