import Foundation
public import T4Protocols

/// The object store that a configuration names: `[store]` and `[store.TYPE]`, read without the rest of the file.
public struct StoreConfiguration: Sendable {
    /// The store's name in the registry; `store.type`.
    public var type = "filesystem"
    /// Stands before every name in the store; `store.prefix`.
    public var prefix = ""
    /// The node's folder, where the filesystem store lies by default; `node.data_dir`.
    public var dataDirectory = Configuration().node.dataDirectory
    /// The table `[store.TYPE]`, to be decoded by the store itself.
    public private(set) var settings: any SettingsSource = BackendSettings(path: ["store"])

    /// Reads the part of a TOML file that names the store.
    /// - Parameter file: Nil for the defaults.
    /// - Throws: The file cannot be read, or one of the three values is of a wrong type.
    public static func load(file: String?) throws(ConfigurationError) -> StoreConfiguration {
        var configuration = StoreConfiguration()
        guard let file else { return configuration }
        let text: String
        do {
            text = try String(contentsOf: URL(filePath: file), encoding: .utf8)
        } catch {
            throw ConfigurationError(
                .init(
                    at: .file(file, line: nil, column: nil),
                    reason: "the file cannot be read: \(error.localizedDescription)"))
        }
        let document = try TOMLDocument(file: file, text: text)
        configuration.type = try string(document, ["store", "type"]) ?? configuration.type
        configuration.prefix = try string(document, ["store", "prefix"]) ?? configuration.prefix
        configuration.dataDirectory = try string(document, ["node", "data_dir"]) ?? configuration.dataDirectory
        let path = ["store", configuration.type]
        switch document.node(at: path) {
        case .table(let table): configuration.settings = BackendSettings(path: path, table: table, document: document)
        case nil: configuration.settings = BackendSettings(path: path, table: [:], document: document)
        case let node?: throw problem(document, path, "expected a table, found \(node.summary)")
        }
        return configuration
    }

    private static func string(_ document: TOMLDocument, _ path: [String]) throws(ConfigurationError) -> String? {
        switch document.node(at: path) {
        case nil: return nil
        case .string(let text): return text
        case let node?: throw problem(document, path, "expected a text in quotes, found \(node.summary)")
        }
    }

    private static func problem(_ document: TOMLDocument, _ path: [String], _ reason: String) -> ConfigurationError {
        ConfigurationError(
            .init(at: document.location(of: path), key: path.joined(separator: "."), reason: reason))
    }
}
