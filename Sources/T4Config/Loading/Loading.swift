import Foundation
public import T4Protocols

extension Configuration {
    /// Reads a configuration: flag before environment before file before default, for every setting.
    ///
    /// - Parameters:
    ///   - file: The TOML file; nil for none.
    ///   - environment: Environment variables; those that do not start with `T4_` and empty ones are ignored.
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
        guard let text = String(bytes: data, encoding: .utf8) else { throw failure("the file is not UTF-8 text") }
        return text
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
