import Foundation
import T4Protocols
import Testing

@testable import T4Config

/// Loads a configuration whose file holds `toml`; the file is called `t4.toml` in messages.
func load(
    _ toml: String? = nil, environment: [String: String] = [:], flags: [String: String] = [:],
    registry: BackendRegistry? = nil
) throws -> Configuration {
    try inTemporaryFolder { folder in
        var file: String?
        if let toml {
            let url = folder.appending(path: "t4.toml")
            try Data(toml.utf8).write(to: url)
            file = url.path
        }
        do {
            return try Configuration.load(
                file: file, environment: environment, flags: flags, registry: registry, hostName: { "test host" })
        } catch let error as ConfigurationError {
            throw Messages(text: error.description.replacing("\(folder.path)/", with: ""))
        }
    }
}

/// What is wrong with a configuration, with the file's folder left out.
struct Messages: Error {
    var text: String
}

/// The messages that loading gives; empty when there are none.
func messages(
    _ toml: String? = nil, environment: [String: String] = [:], flags: [String: String] = [:],
    registry: BackendRegistry? = nil
) throws -> String {
    do {
        _ = try load(toml, environment: environment, flags: flags, registry: registry)
        return ""
    } catch let error as Messages {
        return error.text
    }
}

/// Gives `body` an empty folder and removes it afterwards.
func inTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "t4-config-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer {
        do { try FileManager.default.removeItem(at: folder) } catch { Issue.record(error) }
    }
    return try body(folder)
}
