import T4BuiltIns
import T4Protocols

@testable import T4Config

extension FuzzTarget {
    /// A configuration file.
    static let toml = FuzzTarget(name: "toml") { input in
        guard let text = String(validating: input, as: UTF8.self) else { return }
        do throws(ConfigurationError) {
            var loader = Loader(environment: [:], flags: [:], registry: .builtIn)
            loader.document = try TOMLDocument(file: "fuzz.toml", text: text)
            _ = try loader.load { "fuzz" }
        } catch {
            try FuzzFailure.unless(!"\(error)".isEmpty, "an error without words")
        }
    }
}
